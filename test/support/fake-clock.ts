// A clock that a test advances, with its timers. Independent of real time: a callback given to `later` runs when the test
// has advanced the clock far enough, and never otherwise.

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class FakeClock {
  /** Not zero, so that an unset time differs from the present. */
  #nowMs = 10_000
  #timers: Timer[] = []

  /** Monotonic milliseconds. */
  readonly now = (): number => this.#nowMs

  readonly later = (delayMs: number, callback: () => void): void => {
    this.#timers.push({ atMs: this.#nowMs + delayMs, callback })
  }

  /** The number of callbacks that are not due yet. */
  get waiting(): number {
    return this.#timers.length
  }

  /** Advances the time and calls the callbacks that become due, in order of their time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = this.#earliest(endMs)
      if (due === undefined) break
      this.#timers.splice(this.#timers.indexOf(due), 1)
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      due.callback()
    }
    this.#nowMs = endMs
  }

  #earliest(endMs: number): Timer | undefined {
    let earliest: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.atMs <= endMs && (earliest === undefined || timer.atMs < earliest.atMs)) earliest = timer
    }
    return earliest
  }
}
