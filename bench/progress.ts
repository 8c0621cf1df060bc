// Progress messages on standard error: on a terminal one line that is overwritten, otherwise at most one line per
// interval. Results are never printed here.

/** Without a terminal, the minimum time between two lines. */
const PLAIN_INTERVAL_MS = 10_000

export class Progress {
  readonly #started = performance.now()
  readonly #isTerminal = process.stderr.isTTY
  #figure = ''
  #lastPlain = Number.NEGATIVE_INFINITY

  /** Starts a figure. */
  figure(text: string): void {
    this.#figure = text
    this.#lastPlain = Number.NEGATIVE_INFINITY
    this.step('')
  }

  /** Shows a step of the figure, in a few words. */
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

  /** Prints a line that is not overwritten. */
  print(text: string): void {
    process.stderr.write(`${this.#isTerminal ? '\r\u001B[K' : ''}${this.#elapsed()}  ${text}\n`)
  }

  #elapsed(): string {
    const seconds = Math.round((performance.now() - this.#started) / 1000)
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }
}
