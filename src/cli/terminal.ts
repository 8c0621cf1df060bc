// The terminal of a command that shows a screen: the alternate screen without a cursor, and single keys. The command gives the
// terminal back with `leave`, also if it fails.

import type { ReadStream } from 'node:tty'

const ENTER = '\u{1b}[?1049h\u{1b}[?25l'
const LEAVE = '\u{1b}[?25h\u{1b}[?1049l'
const HOME = '\u{1b}[H'
const CLEAR_LINE = '\u{1b}[K'
const CLEAR_REST = '\u{1b}[J'
/** Of a terminal that does not say. */
const USUAL_ROWS = 24

/** They end a process that does not catch them. A hangup has taken the terminal away, which harms nobody. */
const ENDING_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const

/** Keys that nobody has taken yet; more are of somebody who leans on one. */
const TYPED_MAX = 16

/** Where keys come from. */
export type KeyInput = Pick<ReadStream, 'setRawMode' | 'resume' | 'pause' | 'setEncoding' | 'on' | 'off'>

export class Terminal {
  readonly #input: KeyInput
  /** The oldest first. A key that is pressed while the command does something else is not lost. */
  readonly #typed: string[] = []
  #onTyped: () => void = () => undefined
  readonly #onData = (data: string | Buffer): void => {
    if (this.#typed.length < TYPED_MAX) this.#typed.push(data.toString().slice(0, 1))
    this.#onTyped()
  }

  /** Gives the terminal back, and lets the signal have its usual effect. */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.leave()
    process.kill(process.pid, signal)
  }

  constructor(input: KeyInput = process.stdin) {
    this.#input = input
    input.setRawMode(true)
    input.setEncoding('utf8')
    input.on('data', this.#onData)
    input.resume()
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#onSignal)
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
    if (this.#typed.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        this.#onTyped = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#typed.shift()
  }

  /** Resolves when one of these keys is pressed, whatever else the command waits for. The key stays the next one. */
  async pressed(keys: ReadonlySet<string>): Promise<undefined> {
    return await new Promise((resolve) => {
      const look = (data: string | Buffer): void => {
        if (!keys.has(data.toString().slice(0, 1))) return
        this.#input.off('data', look)
        resolve(undefined)
      }
      this.#input.on('data', look)
    })
  }

  /** Gives the terminal back. */
  leave(): void {
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#onSignal)
    this.#input.setRawMode(false)
    this.#input.off('data', this.#onData)
    this.#input.pause()
    process.stdout.write(LEAVE)
  }
}
