// The lease that a relay goes by, and what may replace it: a lease with a larger serial, signed by a key that is trusted, whose time
// has come and is not over. Anything else changes nothing, and the lease in use holds until its own end. Decides; reads no file and
// has no timer. Runs on the control thread.

import type { Budget } from '#protocol/budget.ts'
import { keyName } from '#protocol/node-key.ts'
import { readLease, timeText, type Lease } from '#protocol/lease.ts'

/** The clock of whoever makes leases may be ahead by this: a new lease is used at once. Leases end when they say, by this host's clock. */
export const LEASE_SKEW_MS = 60_000

/** What leases say of a key. */
export interface LeaseRule {
  readonly isAllowed: boolean
  readonly tenant: string | undefined
  /** What it may send; undefined: nothing is said of that. */
  readonly budget?: Budget | undefined
  /** How long it holds; zero or less: it has ended. */
  readonly leftMs: number
}

export interface LeaseRules {
  /** Undefined: the lease does not have the key, or there is none. */
  find(key: Uint8Array): LeaseRule | undefined
  /** The keys that have a tenant, with its name. */
  tenants(): Iterable<readonly [key: Uint8Array, tenant: string]>
}

/** What came of a text: it is in use, it was already, or why it is not. */
export type LeaseOffer =
  | { readonly kind: 'used'; readonly lease: Lease }
  | { readonly kind: 'same' }
  /** It may be used when its time has come. */
  | { readonly kind: 'early'; readonly problem: string; readonly fromMs: number }
  | { readonly kind: 'refused'; readonly problem: string }

export class Leases implements LeaseRules {
  readonly #keys: readonly string[]
  readonly #now: () => number
  /** The largest serial of each key that signs. */
  readonly #serials: Map<string, number>
  #lease: Lease | undefined = undefined
  #text = ''

  /**
   * @param keys public keys in the text form of options
   * @param serials the largest serial that was seen of each; those of other keys do not count
   * @param now Unix milliseconds
   */
  constructor(keys: readonly string[], serials: ReadonlyMap<string, number>, now: () => number) {
    this.#keys = keys
    this.#now = now
    this.#serials = new Map([...serials].filter(([key]) => keys.includes(key)))
  }

  /** The lease in use, which may have ended. */
  get lease(): Lease | undefined {
    return this.#lease
  }

  /** Its text. */
  get text(): string {
    return this.#text
  }

  get serials(): ReadonlyMap<string, number> {
    return this.#serials
  }

  find(key: Uint8Array): LeaseRule | undefined {
    const entry = this.#lease?.entries.get(keyName(key))
    if (entry === undefined) return undefined
    const { isAllowed, tenant, budget, untilMs } = entry
    return { isAllowed, tenant, budget, leftMs: untilMs - this.#now() }
  }

  *tenants(): Generator<readonly [key: Uint8Array, tenant: string]> {
    for (const { key, tenant } of this.#lease?.entries.values() ?? [])
      if (tenant !== undefined) yield [key, tenant]
  }

  /** What this relay went by before it was restarted: in use again, also if it has ended since. */
  resume(text: string): void {
    const read = readLease(text, this.#keys)
    if ('lease' in read && read.lease.serial >= this.#newestSerial()) this.#use(read.lease, text)
  }

  offer(text: string): LeaseOffer {
    if (text === this.#text) return { kind: 'same' }
    const read = readLease(text, this.#keys)
    if ('problem' in read) return { kind: 'refused', problem: read.problem }
    const { lease } = read
    const newest = this.#newestSerial()
    const nowMs = this.#now()
    if (lease.serial < newest)
      return refused(`has serial ${lease.serial}; expected ${newest} or more, because that was seen before`)
    if (lease.serial === newest)
      return refused(`has serial ${lease.serial}, which another lease has; expected a larger one`)
    if (lease.notAfterMs <= nowMs)
      return refused(`has ended at ${timeText(lease.notAfterMs)}, and it is ${timeText(nowMs)}`)
    const fromMs = lease.notBeforeMs - LEASE_SKEW_MS
    if (fromMs > nowMs) {
      const problem = `begins at ${timeText(lease.notBeforeMs)}, and it is ${timeText(nowMs)}`
      return { kind: 'early', problem, fromMs }
    }
    this.#use(lease, text)
    return { kind: 'used', lease }
  }

  #use(lease: Lease, text: string): void {
    this.#lease = lease
    this.#text = text
    this.#serials.set(lease.signer, lease.serial)
  }

  #newestSerial(): number {
    return Math.max(-1, ...this.#serials.values())
  }
}

function refused(problem: string): LeaseOffer {
  return { kind: 'refused', problem }
}
