// What the clients of one tenant have together on one relay thread: their share of what the thread reads, how much they may
// send, and what was sent to them. Where a thread cannot read all that arrives, it reads by turns of tenants, and within a tenant by turns of clients, so
// that a tenant with a hundred busy clients gets no more than one with a single one (docs/decisions/0032). Who is of which
// tenant is `tenants.ts`'s matter; the turns are the transport's.

import type { TenantRule } from '#protocol/tenant-rule.ts'
import { BudgetBuckets } from './budget-buckets.ts'
import type { ReadShare } from './ports.ts'

export class TenantShare extends BudgetBuckets implements ReadShare {
  readonly weight: number
  creditBytes = 0
  pass = 0
  /** Undefined: it is not counted. */
  readonly #sentBytes: Float64Array | undefined
  readonly #number: number

  /** @param sentBytes of all tenants, by number */
  constructor(rule: TenantRule, nowMs: number, number: number, sentBytes?: Float64Array) {
    super(rule, nowMs)
    this.weight = rule.weight
    this.#number = number
    this.#sentBytes = rule.month === undefined ? undefined : sentBytes
  }

  addSent(bytes: number): void {
    if (this.#sentBytes !== undefined)
      this.#sentBytes[this.#number] = bytes + (this.#sentBytes[this.#number] ?? 0)
  }
}
