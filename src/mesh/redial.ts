// When a link that broke is dialled again: soon at first, then more and more rarely. The one owner of that timer: what
// has been set later, or called off, is never called back. Dials nothing itself.

/** A sibling that was restarted is back in seconds; from the fifth attempt on as often as derper tries. */
const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5_000

export interface RedialParts {
  readonly random: (bytes: number) => Uint8Array
  readonly later: (delayMs: number, callback: () => void) => void
}

export class Redial {
  readonly #parts: RedialParts
  readonly #dial: () => void
  #failures = 0
  /** Which of the callbacks that were asked for is the one that counts. */
  #ticket = 0

  constructor(parts: RedialParts, dial: () => void) {
    this.#parts = parts
    this.#dial = dial
  }

  /** It has been up for a while: whatever comes now is the first failure. */
  succeeded(): void {
    this.#failures = 0
  }

  /** Doubles with each failure; up to a quarter more, so that siblings that lost one together do not come together. */
  afterFailure(): void {
    this.#failures++
    this.after(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures))
  }

  after(delayMs: number): void {
    const ticket = ++this.#ticket
    const jitter = 1 + (this.#parts.random(1)[0] ?? 0) / 1_024
    this.#parts.later(delayMs * jitter, () => {
      if (ticket === this.#ticket) this.#dial()
    })
  }

  callOff(): void {
    this.#ticket++
  }
}
