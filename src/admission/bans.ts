// Keys that an operator has kicked, and until when they may not come back. No I/O; runs on the control thread.
//
// Contract: bounded; the ban that ends first goes first.

import { keyName, keyNamed } from '#protocol/node-key.ts'

/** An operator kicks by hand, or a script does it for a few. */
const BANS_MAX = 10_000

export class Bans {
  readonly #now: () => number
  readonly #until = new Map<string, number>()

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  get size(): number {
    return this.#until.size
  }

  add(key: Uint8Array, forMs: number): void {
    this.#until.set(keyName(key), this.#now() + forMs)
    if (this.#until.size <= BANS_MAX) return
    const [first] = [...this.#until].toSorted(([, a], [, b]) => a - b)
    if (first !== undefined) this.#until.delete(first[0])
  }

  /** Who is refused now, and for how long. */
  left(): readonly (readonly [key: Uint8Array, forMs: number])[] {
    const nowMs = this.#now()
    return [...this.#until]
      .filter(([, untilMs]) => untilMs > nowMs)
      .map(([name, untilMs]) => [keyNamed(name), untilMs - nowMs] as const)
  }

  lift(key: Uint8Array): void {
    this.#until.delete(keyName(key))
  }

  /** Why the key is refused; undefined if it is not banned. */
  reason(key: Uint8Array): string | undefined {
    const untilMs = this.#until.get(keyName(key))
    if (untilMs === undefined) return undefined
    const leftMs = untilMs - this.#now()
    if (leftMs > 0) return `an operator has kicked it, for ${Math.ceil(leftMs / 1_000)} s more`
    this.#until.delete(keyName(key))
    return undefined
  }
}
