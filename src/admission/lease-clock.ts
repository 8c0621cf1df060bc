// The time by which leases begin and end: the host's clock, but for its jumps. A clock that jumps is wrong before or after, and
// nobody knows which. So a jump counts once it has lasted for a while: one that is taken back ends no client's connection, and
// makes no lease of yesterday valid. Has no timer, and reads no clock by itself. Runs on the control thread.

/** Clocks that are set right step by step move by less between two looks, and a busy thread is late by less. */
const JUMP_MS = 2_000
/** As long as other clocks may be wrong: a lease ends later by this at most. */
const HOLD_MS = 60_000

export interface LeaseClockParts {
  /** Unix milliseconds. */
  readonly wall: () => number
  /** Monotonic milliseconds. */
  readonly monotonic: () => number
}

/** What a look at the clock found: nothing, a jump that does not count so far, or one that counts now. */
export type ClockLook = 'steady' | 'jumped' | 'followed'

export class LeaseClock {
  readonly #parts: LeaseClockParts
  /** Unix milliseconds less monotonic ones. */
  #offsetMs: number
  #jump: { readonly offsetMs: number; readonly sinceMs: number } | undefined = undefined
  #earliestMs = -Infinity

  constructor(parts: LeaseClockParts) {
    this.#parts = parts
    this.#offsetMs = parts.wall() - parts.monotonic()
  }

  /** Unix milliseconds. */
  now(): number {
    return Math.max(this.#earliestMs, this.#offsetMs + this.#parts.monotonic())
  }

  /** It is later than that, whatever the clock says: something was made then. */
  isAfter(ms: number): void {
    this.#earliestMs = Math.max(this.#earliestMs, ms)
  }

  /** How far the host's clock is ahead of the time that counts. */
  get aheadMs(): number {
    return this.#parts.wall() - this.now()
  }

  /** To be called once a second. */
  look(): ClockLook {
    const monotonicMs = this.#parts.monotonic()
    const offsetMs = this.#parts.wall() - monotonicMs
    if (Math.abs(offsetMs - this.#offsetMs) <= JUMP_MS) {
      this.#offsetMs = offsetMs
      this.#jump = undefined
      return 'steady'
    }
    // A clock that was known to be wrong is set right.
    const wasWrong = this.#offsetMs + monotonicMs < this.#earliestMs && offsetMs > this.#offsetMs
    const jump = this.#jump
    if (!wasWrong && (jump === undefined || Math.abs(offsetMs - jump.offsetMs) > JUMP_MS)) {
      this.#jump = { offsetMs, sinceMs: monotonicMs }
      return jump === undefined ? 'jumped' : 'steady'
    }
    if (!wasWrong && monotonicMs - (jump?.sinceMs ?? 0) < HOLD_MS) return 'steady'
    this.#offsetMs = offsetMs
    this.#jump = undefined
    return 'followed'
  }
}
