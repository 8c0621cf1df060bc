// How often an operator's reloads may make the relay ask an authority before it is time: a script that reloads again and again
// must not use up what the authority allows. Pure: the time is passed in.

/** Far more than a person needs who corrects a mistake step by step; Let's Encrypt allows 300 orders in three hours. */
const ASKED_MAX = 20
const WITHIN_MS = 3_600_000

export class ReloadAllowance {
  #askedMs: readonly number[] = []

  /** Whether the reload may; if so, it counts. @param nowMs Unix time */
  take(nowMs: number): boolean {
    // A clock that was set back must not stop reloads for longer.
    const lately = this.#askedMs.filter((atMs) => Math.abs(nowMs - atMs) < WITHIN_MS)
    const isAllowed = lately.length < ASKED_MAX
    this.#askedMs = isAllowed ? [...lately, nowMs] : lately
    return isAllowed
  }
}
