// Whether, and after what delay, a thread that has died is restarted. Restarting does not cure a fault that recurs at
// once: after a few deaths within a minute it is better that the process ends and its supervisor restarts all of it. Counts
// deaths and decides; starts nothing. Runs on the control thread.

import { backOffMs, NO_JITTER, type BackOff } from '#protocol/back-off.ts'

/** Deaths of all threads are counted together: the client that kills one thread reconnects to another. */
const WINDOW_MS = 60_000
const DEATHS_MAX = 5
/** From the second death on; the first restart is immediate, so that returning clients find all threads. */
const RESTART_BACK_OFF: BackOff = { firstMs: 100, growth: 'doubling', maxMs: Infinity, jitter: NO_JITTER }

export class RestartPolicy {
  #deathsMs: number[] = []

  /** Counts a death at `nowMs`. Returns the delay before the restart in ms; undefined: do not restart. */
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
