// Whether, and after what time, a thread that has died is started anew. A fault that comes back at once is not
// mended by trying harder: after a few deaths within a minute the process had better end, and be restarted by
// whoever watches over it, with everything as new. Counts and decides; starts nothing.

import { backOffMs, NO_JITTER, type BackOff } from '#protocol/back-off.ts'

/** Deaths of any threads are counted together: what kills one moves on with the client that caused it. */
const WINDOW_MS = 60_000
const DEATHS_MAX = 5
/** From the second death on; after the first there is no delay, so that clients that come back find all threads. */
const RESTART_BACK_OFF: BackOff = { firstMs: 100, growth: 'doubling', maxMs: Infinity, jitter: NO_JITTER }

export class RestartPolicy {
  #deathsMs: number[] = []

  /** A thread has died at `nowMs`. After how many ms to start it anew; undefined: not any more. */
  died(nowMs: number): number | undefined {
    this.#deathsMs = [...this.#deathsMs.filter((deathMs) => nowMs - deathMs < WINDOW_MS), nowMs]
    const deaths = this.#deathsMs.length
    if (deaths > DEATHS_MAX) return undefined
    return deaths === 1 ? 0 : backOffMs(RESTART_BACK_OFF, deaths - 1, 0)
  }

  /** Deaths within the last minute. */
  get recentDeaths(): number {
    return this.#deathsMs.length
  }
}
