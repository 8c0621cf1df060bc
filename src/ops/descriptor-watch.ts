// The readiness check of file descriptors: fails while none is left for clients, because the relay then refuses every
// connection. Reports the start of such an episode at once, and its end after some calm time.

import type { HealthCheck, CheckOutcome } from './health.ts'

/** Refused clients retry within a few seconds, so a shorter pause belongs to the same episode. */
const CALM_MS = 5_000

export interface DescriptorWatchParts {
  /** Clients get descriptors below this number; Infinity if there is no limit. */
  readonly clientsEnd: number
  readonly max: number
  /** The lowest descriptor number that is free now. */
  readonly lowestFree: () => number
  /** Connections refused so far because no descriptor was left. */
  readonly refused: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** None is left for clients. */
  onExhausted(limit: number): void
  /** Some are left again; `refused` connections were refused meanwhile. */
  onAvailable(refused: number): void
}

export class DescriptorWatch implements HealthCheck {
  readonly name = 'descriptors'
  readonly #parts: DescriptorWatchParts
  #lowestFree = 0
  #refused = 0
  /** The last time at which none was left; undefined outside an episode. */
  #exhaustedMs: number | undefined = undefined
  #refusedBefore = 0

  constructor(parts: DescriptorWatchParts) {
    this.#parts = parts
  }

  /** Must be called about once a second. */
  look(): void {
    const { clientsEnd, lowestFree, max, now, refused } = this.#parts
    if (clientsEnd === Infinity) return
    const refusedBefore = this.#refused
    this.#refused = refused()
    this.#lowestFree = lowestFree()
    if (this.#lowestFree >= clientsEnd || this.#refused > refusedBefore) {
      if (this.#exhaustedMs === undefined) {
        this.#refusedBefore = refusedBefore
        this.#parts.onExhausted(max)
      }
      this.#exhaustedMs = now()
    } else if (this.#exhaustedMs !== undefined && now() - this.#exhaustedMs >= CALM_MS) {
      this.#exhaustedMs = undefined
      this.#parts.onAvailable(this.#refused - this.#refusedBefore)
    }
  }

  check(): CheckOutcome {
    const { clientsEnd, max } = this.#parts
    if (clientsEnd === Infinity) return { isOk: true, detail: 'limit of open files unknown' }
    if (this.#exhaustedMs === undefined) {
      const left = clientsEnd - this.#lowestFree
      return { isOk: true, detail: `descriptors left for clients: ${left}; limit of open files: ${max}` }
    }
    const refused = this.#refused - this.#refusedBefore
    return {
      isOk: false,
      detail: `descriptors left for clients: none; limit of open files: ${max}; connections refused: ${refused}`,
    }
  }
}
