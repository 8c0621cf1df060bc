// What the connections of one key may send together, and the part of it that those of this thread have: a key that is connected to
// several threads has an equal part on each. Which budget a key has is admission's business and the operator's.

import { dividedBudget, isSameBudget, NO_BUDGET, type Budget } from '#protocol/budget.ts'
import { BudgetBuckets } from './budget-buckets.ts'

/** A key with connections, as far as its share goes. */
interface SharedKey {
  keyShare: KeyShare | undefined
  readonly onOtherThreads: { readonly length: number }
}

/** The share of a key, which has this budget from now on; undefined: it never had a limit. */
export function keyShareOf(key: SharedKey, budget: Budget): KeyShare | undefined {
  if (key.keyShare === undefined && isSameBudget(budget, NO_BUDGET)) return undefined
  key.keyShare ??= new KeyShare()
  key.keyShare.divide(1 + key.onOtherThreads.length)
  key.keyShare.use(budget)
  return key.keyShare
}

export class KeyShare {
  #budget: Budget = NO_BUDGET
  #threads = 1
  /** Made when they are needed next: a change of threads comes without a time. */
  #buckets: BudgetBuckets | undefined = undefined

  get isLimited(): boolean {
    return Number.isFinite(this.#budget.bytesPerSecond) || Number.isFinite(this.#budget.packetsPerSecond)
  }

  /** The budget from now on; one that stays the same keeps what has been used of it. */
  use(budget: Budget): void {
    if (isSameBudget(budget, this.#budget)) return
    this.#budget = budget
    this.#buckets = undefined
  }

  /** The key is connected to so many threads of this relay. */
  divide(threads: number): void {
    if (threads === this.#threads) return
    this.#threads = threads
    this.#buckets = undefined
  }

  /** As `BudgetBuckets.charge`. */
  charge(payloadBytes: number, nowMs: number): number {
    this.#buckets ??= new BudgetBuckets(dividedBudget(this.#budget, this.#threads), nowMs)
    return this.#buckets.charge(payloadBytes, nowMs)
  }
}
