// What back ends have said of keys: which ones they admitted, and how long ago; which ones they refused a moment ago. Known keys
// are admitted while no back end can be asked (admission-service.ts). No I/O and no clock of its own; what is kept between runs
// is control/admission-memory.ts. Runs on the control thread.
//
// Contract: bounded in keys. Refusals never push admitted keys out, however many strangers come.

import type { Budget } from '#protocol/budget.ts'
import { keyName, keyNamed } from '#protocol/node-key.ts'

/** Some 150 bytes each: fifteen megabytes. The key that was admitted longest ago goes first. */
const ADMITTED_MAX = 100_000
/** Strangers in a flood come with new keys; those that come again within seconds are few. */
const REFUSED_MAX = 10_000
/** How long a refusal is an answer. A member that was refused a moment ago may just have been added. */
const REFUSAL_MS = 10_000

interface KeptRefusal {
  readonly reason: string
  readonly atMs: number
}

/** A key that was admitted, and how long ago. */
export interface KeptKey {
  readonly key: Uint8Array
  readonly ageMs: number
  /** What it may send, as the back end said; undefined: it said nothing. */
  readonly budget?: Budget | undefined
}

export class AnswerMemory {
  /** After this time an admitted key is forgotten. */
  keepMs: number
  readonly #now: () => number
  /** When each key was admitted last; longest ago in front. */
  readonly #admitted = new Map<string, number>()
  /** Of those of them about which a back end said one. */
  readonly #budgets = new Map<string, Budget>()
  readonly #refused = new Map<string, KeptRefusal>()
  #edition = 0

  /** @param now monotonic milliseconds */
  constructor(keepMs: number, now: () => number) {
    this.keepMs = keepMs
    this.#now = now
  }

  /** Another number after each change of which keys are known, and since when. */
  get edition(): number {
    return this.#edition
  }

  get size(): number {
    return this.#admitted.size
  }

  /** A back end has admitted the key. What is known of it since then stays. */
  noteAdmitted(key: Uint8Array, ageMs = 0, budget?: Budget): void {
    const name = keyName(key)
    const atMs = this.#now() - ageMs
    const since = Math.max(this.#admitted.get(name) ?? -Infinity, this.#refused.get(name)?.atMs ?? -Infinity)
    if (since >= atMs) return
    this.#refused.delete(name)
    this.#admitted.delete(name)
    this.#admitted.set(name, atMs)
    if (budget === undefined) this.#budgets.delete(name)
    else this.#budgets.set(name, budget)
    this.#edition++
    if (this.#admitted.size > ADMITTED_MAX) this.#forget(this.#admitted.keys().next().value ?? '')
  }

  noteRefused(key: Uint8Array, reason: string): void {
    const name = keyName(key)
    if (this.#forget(name)) this.#edition++
    this.#refused.delete(name)
    this.#refused.set(name, { reason, atMs: this.#now() })
    if (this.#refused.size > REFUSED_MAX) deleteFirst(this.#refused)
  }

  /** How long ago the key was admitted last; undefined if it is not known. */
  ageMs(key: Uint8Array): number | undefined {
    const atMs = this.#admitted.get(keyName(key))
    return atMs === undefined ? undefined : this.#now() - atMs
  }

  /** What a back end said that the key may send; undefined: nothing. */
  budget(key: Uint8Array): Budget | undefined {
    return this.#budgets.get(keyName(key))
  }

  /** Why the key was refused a moment ago; undefined if it was not. */
  refusal(key: Uint8Array): string | undefined {
    const refusal = this.#refused.get(keyName(key))
    return refusal === undefined || this.#now() - refusal.atMs > REFUSAL_MS ? undefined : refusal.reason
  }

  /** All keys that are known, the one that was admitted longest ago in front. */
  admitted(): KeptKey[] {
    const nowMs = this.#now()
    return Array.from(this.#admitted, ([name, atMs]) => ({
      key: keyNamed(name),
      ageMs: nowMs - atMs,
      budget: this.#budgets.get(name),
    }))
  }

  /** Other back ends decide from now on: what was said before counts no more. */
  clear(): void {
    if (this.#admitted.size > 0) this.#edition++
    this.#admitted.clear()
    this.#budgets.clear()
    this.#refused.clear()
  }

  /** To be called now and then: forgets what is too old to be of use. */
  sweep(): void {
    const nowMs = this.#now()
    for (const [name, { atMs }] of this.#refused) {
      if (nowMs - atMs <= REFUSAL_MS) break
      this.#refused.delete(name)
    }
    for (const [name, atMs] of this.#admitted) {
      if (nowMs - atMs <= this.keepMs) break
      this.#forget(name)
      this.#edition++
    }
  }

  #forget(name: string): boolean {
    this.#budgets.delete(name)
    return this.#admitted.delete(name)
  }
}

function deleteFirst(entries: Map<string, unknown>): void {
  const [first] = entries.keys()
  if (first !== undefined) entries.delete(first)
}
