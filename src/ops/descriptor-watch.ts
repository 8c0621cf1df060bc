// Whether there are descriptors left for clients. While there are none the relay refuses every connection, so it is not
// ready, and says so once; when it has had some for a while it says that, too.

import type { HealthCheck, CheckOutcome } from './health.ts'

/** Clients that were refused come again within a few seconds; until they are in, or elsewhere, it is the same episode. */
const CALM_MS = 5_000

export interface DescriptorWatchParts {
  /** What clients may take end with this one; Infinity where there is no limit. */
  readonly clientsEnd: number
  readonly max: number
  /** The lowest number that is free now. */
  readonly lowestFree: () => number
  /** Connections refused for want of a descriptor so far. */
  readonly refused: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  onShort(limit: number): void
  onOver(refused: number): void
}

export class DescriptorWatch implements HealthCheck {
  readonly name = 'descriptors'
  readonly #parts: DescriptorWatchParts
  #lowestFree = 0
  #refused = 0
  /** When there were too few for the last time; undefined outside an episode. */
  #shortMs: number | undefined = undefined
  #refusedBefore = 0

  constructor(parts: DescriptorWatchParts) {
    this.#parts = parts
  }

  /** To be called every second or so. */
  look(): void {
    const { clientsEnd, lowestFree, max, now, refused } = this.#parts
    if (clientsEnd === Infinity) return
    const refusedBefore = this.#refused
    this.#refused = refused()
    this.#lowestFree = lowestFree()
    if (this.#lowestFree >= clientsEnd || this.#refused > refusedBefore) {
      if (this.#shortMs === undefined) {
        this.#refusedBefore = refusedBefore
        this.#parts.onShort(max)
      }
      this.#shortMs = now()
    } else if (this.#shortMs !== undefined && now() - this.#shortMs >= CALM_MS) {
      this.#shortMs = undefined
      this.#parts.onOver(this.#refused - this.#refusedBefore)
    }
  }

  check(): CheckOutcome {
    const { clientsEnd, max } = this.#parts
    if (clientsEnd === Infinity) return { isOk: true, detail: 'no limit known' }
    if (this.#shortMs === undefined) {
      return { isOk: true, detail: `${clientsEnd - this.#lowestFree} left for clients, of a limit of ${max}` }
    }
    const refused = this.#refused - this.#refusedBefore
    return {
      isOk: false,
      detail: `none left for clients: the limit of open files is ${max}; refused ${refused} connections`,
    }
  }
}
