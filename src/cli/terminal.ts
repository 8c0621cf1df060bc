// The terminal of a command that shows a screen: the alternate screen without a cursor, and single keys. The command gives the
// terminal back with `leave`, also if it fails.

const ENTER = '\u{1b}[?1049h\u{1b}[?25l'
const LEAVE = '\u{1b}[?25h\u{1b}[?1049l'
const HOME = '\u{1b}[H'
const CLEAR_LINE = '\u{1b}[K'
const CLEAR_REST = '\u{1b}[J'
/** Of a terminal that does not say. */
const USUAL_ROWS = 24

export class Terminal {
  constructor() {
    process.stdin.setRawMode(true)
    process.stdin.resume()
    process.stdin.setEncoding('utf8')
    process.stdout.write(ENTER)
  }

  /** Whether people read and type here. */
  static get isThere(): boolean {
    return process.stdout.isTTY && process.stdin.isTTY && process.env['TERM'] !== 'dumb'
  }

  /** By no-color.org. */
  static get hasColour(): boolean {
    return process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb'
  }

  get rows(): number {
    return process.stdout.rows || USUAL_ROWS
  }

  /** Writes over what was there, so that the screen does not flicker. */
  show(text: string): void {
    process.stdout.write(`${HOME}${text.replaceAll('\n', `${CLEAR_LINE}\r\n`)}${CLEAR_LINE}${CLEAR_REST}`)
  }

  /** The next key; undefined if none comes in time. */
  async key(timeoutMs: number): Promise<string | undefined> {
    return await new Promise((resolve) => {
      const end = (key: string | undefined): void => {
        clearTimeout(timer)
        process.stdin.off('data', onData)
        resolve(key)
      }
      const onData = (data: string | Buffer): void => end(data.toString().slice(0, 1))
      const timer = setTimeout(() => end(undefined), timeoutMs)
      process.stdin.on('data', onData)
    })
  }

  /** Gives the terminal back. */
  leave(): void {
    process.stdin.setRawMode(false)
    process.stdin.pause()
    process.stdout.write(LEAVE)
  }
}
