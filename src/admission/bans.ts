// Keys that an operator denies: since when, until when or until it is taken back, and why. A kick denies for a short time. No I/O;
// runs on the control thread.
//
// Contract: bounded. One that is to end later takes the place of the one that ends first; one without an end gives its place to none.

import { keyName, keyNamed } from '#protocol/node-key.ts'

/** An operator denies by hand, or a script does it for some; whole lists of keys are the list's matter. */
export const BANS_MAX = 10_000

export interface Ban {
  /** Infinite: until it is taken back. */
  readonly forMs: number
  /** Unix time; undefined: it is not known any more. */
  readonly sinceMs: number | undefined
  /** In the operator's words; empty if there are none. */
  readonly reason: string
}

/** How many keys are denied for a time, and how many until it is taken back. */
export interface BanCounts {
  readonly timed: number
  readonly standing: number
}

interface Kept extends Omit<Ban, 'forMs'> {
  readonly untilMs: number
}

export class Bans {
  readonly #now: () => number
  readonly #bans = new Map<string, Kept>()

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Denies the key so, whatever was said of it before. Returns false if there is no room. */
  set(key: Uint8Array, { forMs, sinceMs, reason }: Ban): boolean {
    const name = keyName(key)
    const untilMs = this.#now() + forMs
    if (!this.#bans.has(name) && !this.#makeRoom(untilMs)) return false
    this.#bans.set(name, { untilMs, sinceMs, reason })
    return true
  }

  /** The same, but a denial that lasts longer stays as it is. */
  extend(key: Uint8Array, ban: Ban): boolean {
    return (this.find(key)?.forMs ?? 0) >= ban.forMs || this.set(key, ban)
  }

  /** Returns whether the key was denied. */
  lift(key: Uint8Array): boolean {
    const isDenied = this.find(key) !== undefined
    this.#bans.delete(keyName(key))
    return isDenied
  }

  /** Undefined: it is not denied. */
  find(key: Uint8Array): Ban | undefined {
    const name = keyName(key)
    const kept = this.#bans.get(name)
    if (kept === undefined) return undefined
    const forMs = kept.untilMs - this.#now()
    if (forMs > 0) return banOf(kept, forMs)
    this.#bans.delete(name)
    return undefined
  }

  /** Who is denied now, the longest denied first. */
  all(): readonly (readonly [key: Uint8Array, ban: Ban])[] {
    const nowMs = this.#now()
    return [...this.#bans]
      .filter(([, { untilMs }]) => untilMs > nowMs)
      .map(([name, kept]) => [keyNamed(name), banOf(kept, kept.untilMs - nowMs)] as const)
  }

  get counts(): BanCounts {
    const nowMs = this.#now()
    let [timed, standing] = [0, 0]
    for (const { untilMs } of this.#bans.values()) {
      if (untilMs === Infinity) standing++
      else if (untilMs > nowMs) timed++
    }
    return { timed, standing }
  }

  /** Why the key is refused, for the log; undefined if it is not denied. */
  refusal(key: Uint8Array): string | undefined {
    const ban = this.find(key)
    if (ban === undefined) return undefined
    const time = ban.forMs === Infinity ? '' : `, for ${Math.ceil(ban.forMs / 1_000)} s more`
    return `an operator denies it${time}${ban.reason === '' ? '' : `: ${ban.reason}`}`
  }

  /** @param untilMs of the one that is to come */
  #makeRoom(untilMs: number): boolean {
    if (this.#bans.size < BANS_MAX) return true
    let first: { readonly name: string; readonly untilMs: number } | undefined
    for (const [name, kept] of this.#bans)
      if (first === undefined || kept.untilMs < first.untilMs) first = { name, untilMs: kept.untilMs }
    if (first === undefined || first.untilMs >= untilMs) return false
    this.#bans.delete(first.name)
    return true
  }
}

function banOf({ sinceMs, reason }: Kept, forMs: number): Ban {
  return { forMs, sinceMs, reason }
}
