// Whether, and after what time, a thread that has died is started anew. A fault that comes back at once is not
// mended by trying harder: after a few deaths within a minute the process had better end, and be restarted by
// whoever watches over it, with everything as new. Counts and decides; starts nothing.

/** Deaths of any threads are counted together: what kills one moves on with the client that caused it. */
const WINDOW_MS = 60_000
const DEATHS_MAX = 5
/** The first time at once, so that clients that come back find all threads; doubled for each further death. */
const DELAY_MS = 100

export class RestartPolicy {
  #deathsMs: number[] = []

  /** A thread has died at `nowMs`. After how many ms to start it anew; undefined: not any more. */
  died(nowMs: number): number | undefined {
    this.#deathsMs = [...this.#deathsMs.filter((deathMs) => nowMs - deathMs < WINDOW_MS), nowMs]
    const deaths = this.#deathsMs.length
    if (deaths > DEATHS_MAX) return undefined
    return deaths === 1 ? 0 : DELAY_MS * 2 ** (deaths - 2)
  }

  /** Deaths within the last minute. */
  get recentDeaths(): number {
    return this.#deathsMs.length
  }
}
