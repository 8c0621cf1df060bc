// A clock that stands still until a test moves it, and the callbacks that wait for it. Knows nothing of real time:
// what the relay asks `later` for is called when the test has moved the clock so far, and never otherwise.

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class FakeClock {
  /** Not zero, so that a time that was never set shows. */
  #nowMs = 10_000
  #timers: Timer[] = []

  /** Monotonic milliseconds. */
  readonly now = (): number => this.#nowMs

  readonly later = (delayMs: number, callback: () => void): void => {
    this.#timers.push({ atMs: this.#nowMs + delayMs, callback })
  }

  /** Callbacks that wait for their time. */
  get waiting(): number {
    return this.#timers.length
  }

  /** Moves the time on and calls back what is due, in the order in which it is due. */
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
