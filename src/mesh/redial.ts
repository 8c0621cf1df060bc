// When a sibling link that broke is dialled again: the back-off's failure count and the one timer behind it. A timer that
// was replaced or cancelled never dials. Does not dial itself. Runs on the relay thread.

import { backOffMs, jittered, type BackOff } from '#protocol/back-off.ts'

/**
 * A restarted sibling is back within seconds; from the fifth failure on the link is dialled as often as derper dials.
 * The jitter keeps siblings that lost the same relay from dialling it at the same moment.
 */
const REDIAL_BACK_OFF: BackOff = {
  firstMs: 500,
  growth: 'doubling',
  maxMs: 5_000,
  jitter: { from: 1, to: 1.25 },
}
/**
 * While packets are held for half a second: the port of a run that hands over may take a last connection and close
 * it, and the next attempt reaches the newer run.
 */
const SOON_MS = 50
const SOON_ATTEMPTS = 4
/** Values of the random byte that jitter is made of. */
const BYTE_VALUES = 256

export interface RedialParts {
  readonly random: (bytes: number) => Uint8Array
  readonly later: (delayMs: number, callback: () => void) => void
}

export class Redial {
  readonly #parts: RedialParts
  readonly #dial: () => void
  #failures = 0
  /** Failures that are still followed by an attempt at once. */
  #soonLeft = 0
  /** Number of the only timer that may still dial. */
  #timer = 0

  constructor(parts: RedialParts, dial: () => void) {
    this.#parts = parts
    this.#dial = dial
  }

  /** The link has been up for a while: the next failure counts as the first. */
  succeeded(): void {
    this.#failures = 0
    this.#soonLeft = 0
  }

  /** Dials at once, and again soon if that fails. */
  atOnce(): void {
    this.#soonLeft = SOON_ATTEMPTS
    this.#start(0)
  }

  afterFailure(): void {
    if (this.#soonLeft > 0) {
      this.#soonLeft--
      return this.after(SOON_MS)
    }
    this.#failures++
    this.#start(backOffMs(REDIAL_BACK_OFF, this.#failures, this.#random()))
  }

  /** Dials after a fixed delay, which gets the same jitter. */
  after(delayMs: number): void {
    this.#start(jittered(delayMs, REDIAL_BACK_OFF.jitter, this.#random()))
  }

  cancel(): void {
    this.#timer++
  }

  #start(delayMs: number): void {
    const timer = ++this.#timer
    this.#parts.later(delayMs, () => {
      if (timer === this.#timer) this.#dial()
    })
  }

  #random(): number {
    return (this.#parts.random(1)[0] ?? 0) / BYTE_VALUES
  }
}
