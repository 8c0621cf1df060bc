// Which tenant each key is of, while there are tenants: a small number that the packet path compares while they are kept apart, and
// the share of the tenant's clients; and what all clients may send together. Keys that the roster does not have are a tenant of their own together. Unless tenants are kept
// apart, all keys have that same number, so that nobody is apart from anybody. Which keys a tenant has is admission's business,
// what follows is `forward.ts`'s and `fair-share.ts`'s.

import type { Budget } from '#protocol/budget.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { USUAL_TENANT } from '#protocol/tenant-rule.ts'
import { BudgetBuckets } from './budget-buckets.ts'
import { TenantShare } from './fair-share.ts'
import type { TenantRoster } from './ports.ts'

/** Of keys without a tenant, and of all keys while tenants are not kept apart. */
const NO_TENANT = 0

export class Tenants {
  /** Packets pass within a tenant only. */
  areApart = false
  /** Some tenant, or all clients together, may send only so much. */
  areLimited = false
  /** Clients of some tenants, or all, may send and get disco messages alone until the month is over. */
  someDiscoOnly = false
  #areAllDiscoOnly = false
  /** By number. */
  #discoOnly: ReadonlySet<number> = new Set()
  readonly #seed: number
  #numbers: KeyTable<number>
  /** By number. Empty: there are no tenants. */
  #shares: readonly TenantShare[] = []
  /** What is left of the relay's budget; undefined: it has none. */
  #relay: BudgetBuckets | undefined = undefined

  /** @param seed 32 random bits for the table's hash */
  constructor(seed: number) {
    this.#seed = seed
    this.#numbers = new KeyTable(seed)
  }

  /** The tenant of the key bytes[at, at + 32). */
  of(bytes: Uint8Array, at: number): number {
    return this.areApart ? (this.#numbers.find(bytes, at) ?? NO_TENANT) : NO_TENANT
  }

  /** What the clients of its tenant have together; undefined while there are no tenants. */
  shareOf(key: Uint8Array): TenantShare | undefined {
    return this.#shares.length === 0 ? undefined : this.#shares[this.#numbers.find(key, 0) ?? NO_TENANT]
  }

  /** Of all clients together. */
  get relay(): BudgetBuckets | undefined {
    return this.#relay
  }

  /** What all clients of this thread may send together from now on. */
  setRelayBudget(budget: Budget, nowMs: number): void {
    this.#relay = BudgetBuckets.of(budget, nowMs, this.#relay)
    this.#note()
  }

  /** Charges what a sibling forwards to the key. Returns false if that is more than its tenant or the relay may have. */
  tryForward(key: Uint8Array, packetBytes: number, nowMs: number): boolean {
    const share = this.shareOf(key)
    if (share?.tryCharge(packetBytes, nowMs) === false) return false
    if (this.#relay?.tryCharge(packetBytes, nowMs) !== false) return true
    share?.giveBack(packetBytes)
    return false
  }

  /** Of whom data packets are dropped from now on: of all clients, or of those of the tenants with these numbers. */
  setDiscoOnly(areAll: boolean, tenants: ReadonlySet<number>): void {
    this.#areAllDiscoOnly = areAll
    this.#discoOnly = tenants
    this.someDiscoOnly = areAll || tenants.size > 0
  }

  /** Whether data packets of the key bytes[at, at + 32), or for it, are dropped. */
  isDiscoOnly(bytes: Uint8Array, at: number): boolean {
    return this.#areAllDiscoOnly || this.#discoOnly.has(this.#numbers.find(bytes, at) ?? NO_TENANT)
  }

  #note(): void {
    this.areLimited = this.#relay !== undefined || this.#shares.some(({ isLimited }) => isLimited)
  }

  /** Undefined: there are no tenants. */
  use(roster: TenantRoster | undefined, nowMs: number): void {
    this.areApart = roster?.areApart === true
    this.#numbers = new KeyTable(this.#seed)
    const rules = roster === undefined ? [] : [USUAL_TENANT, ...roster.rules]
    this.#shares = rules.map((rule, number) => new TenantShare(rule, nowMs, number, roster?.sentBytes))
    this.#note()
    if (roster === undefined) return
    const { keys, tenants } = roster
    for (const [n, tenant] of tenants.entries()) this.#numbers.set(keys, n * KEY_BYTES, tenant)
  }
}
