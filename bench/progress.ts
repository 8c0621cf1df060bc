// What a person who waits sees: on a terminal one line that is written over, elsewhere a line for every step that
// takes long. Goes to standard error; results never do.

/** Elsewhere than on a terminal, a step that begins sooner after the last one is not told. */
const PLAIN_INTERVAL_MS = 10_000

export class Progress {
  readonly #started = performance.now()
  readonly #isTerminal = process.stderr.isTTY
  #figure = ''
  #lastPlain = Number.NEGATIVE_INFINITY

  /** A figure begins. */
  figure(text: string): void {
    this.#figure = text
    this.#lastPlain = Number.NEGATIVE_INFINITY
    this.step('')
  }

  /** A step of it, in a few words. */
  step(text: string): void {
    const line = `${this.#elapsed()}  ${this.#figure}${text === '' ? '' : `: ${text}`}`
    if (this.#isTerminal) {
      process.stderr.write(`\r\u001B[K${line.slice(0, (process.stderr.columns ?? 100) - 1)}`)
      return
    }
    if (performance.now() - this.#lastPlain < PLAIN_INTERVAL_MS) return
    this.#lastPlain = performance.now()
    process.stderr.write(`${line}\n`)
  }

  /** A line that stays. */
  say(text: string): void {
    process.stderr.write(`${this.#isTerminal ? '\r\u001B[K' : ''}${this.#elapsed()}  ${text}\n`)
  }

  #elapsed(): string {
    const seconds = Math.round((performance.now() - this.#started) / 1000)
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }
}
