// What the clients of one tenant have together on one relay thread: their share of what the thread reads, and how much they may
// send. Where a thread cannot read all that arrives, it reads by turns of tenants, and within a tenant by turns of clients, so
// that a tenant with a hundred busy clients gets no more than one with a single one (docs/decisions/0032). Who is of which
// tenant is `tenants.ts`'s matter; the turns are the transport's.

import type { TenantRule } from '#protocol/tenant-rule.ts'
import { BudgetBuckets } from './budget-buckets.ts'
import type { ReadShare } from './ports.ts'

export class TenantShare extends BudgetBuckets implements ReadShare {
  readonly weight: number
  creditBytes = 0
  pass = 0

  constructor(rule: TenantRule, nowMs: number) {
    super(rule, nowMs)
    this.weight = rule.weight
  }
}
