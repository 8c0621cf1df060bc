// What the relay knows of keys without a back end: whom the operator denies, the operator's list, the lease, and what back ends have
// said before. In this order: a denial, the list, the lease, the memory. While no back end can be asked, keys that one had admitted
// are admitted for a grace; not those whose lease has ended. Decides; asks nobody. Runs on the control thread.

import type { Budget } from '#protocol/budget.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { KeyList } from '#protocol/key-list.ts'
import type { TenantRule } from '#protocol/tenant-rule.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { AnswerMemory } from './answer-memory.ts'
import { Bans } from './bans.ts'
import type { LeaseRules } from './leases.ts'

/** So long an admission is not asked about again, when clients reconnect in a storm, or one does again and again. */
const FRESH_MS = 30_000
/** Clients that came at once are not asked about at once: each after another part of the time, down to this one. */
const SPREAD = 0.75
/** A client whose lease ends is asked about when it has surely ended: timers may be early by a part of a millisecond. */
const AFTER_END_MS = 10

export interface KnownKeysPolicy {
  /** Clients that siblings have admitted are known as well. */
  readonly trustsSiblings: boolean
  /** How long known keys are admitted while no back end can be asked. 0: nothing is remembered. */
  readonly graceMs: number
  /** After this time a client that is here is asked about again; 0: never. */
  readonly recheckMs: number
}

export interface KnownKeysParts {
  /** From 0 to 1. */
  readonly random: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class KnownKeys {
  readonly memory: AnswerMemory
  readonly bans: Bans
  readonly #parts: KnownKeysParts
  /** Keys that siblings have admitted, for outages only. */
  readonly #siblingMemory: AnswerMemory
  #policy: KnownKeysPolicy
  #list: KeyList | undefined = undefined
  #leases: LeaseRules | undefined = undefined
  /** When a back end failed first, since it last decided. */
  #failingSinceMs: number | undefined = undefined

  constructor(policy: KnownKeysPolicy, parts: KnownKeysParts) {
    this.#parts = parts
    this.memory = new AnswerMemory(0, parts.now)
    this.#siblingMemory = new AnswerMemory(0, parts.now)
    this.bans = new Bans(parts.now)
    this.#policy = policy
    this.setPolicy(policy)
  }

  setPolicy(policy: KnownKeysPolicy): void {
    this.#policy = policy
    // A key that was admitted just before an outage is known until its grace is over, and so is a client that was here then.
    this.memory.keepMs = this.#siblingMemory.keepMs = 2 * policy.graceMs + policy.recheckMs + FRESH_MS
    if (!policy.trustsSiblings) this.#siblingMemory.clear()
  }

  /** Undefined: there is none. */
  setList(list: KeyList | undefined): void {
    this.#list = list
  }

  /** The tenant of a key; undefined: it has none. */
  tenantOf(key: Uint8Array): string | undefined {
    const rule = this.#list?.find(key)
    return rule === undefined ? this.#leases?.find(key)?.tenant : rule.tenant
  }

  /** Every key that has a tenant, once, and the tenant's name. */
  *tenants(): Generator<readonly [key: Uint8Array, tenant: string]> {
    yield* this.#list?.tenants() ?? []
    for (const [key, tenant] of this.#leases?.tenants() ?? [])
      if (this.#list?.find(key) === undefined) yield [key, tenant]
  }

  /** What the operator says of tenants, by their names. */
  get tenantRules(): ReadonlyMap<string, TenantRule> {
    return this.#list?.tenantRules ?? new Map<string, TenantRule>()
  }

  /** Undefined: there are none. */
  setLeases(leases: LeaseRules | undefined): void {
    this.#leases = leases
  }

  /** What is said of what the key may send, by the first that says something: the list, the lease, a back end. */
  budgetOf(key: Uint8Array): Budget | undefined {
    const leased = this.#leases?.find(key)
    const ofLease = leased !== undefined && leased.leftMs > 0 ? leased.budget : undefined
    return this.#list?.find(key)?.budget ?? ofLease ?? this.memory.budget(key)
  }

  /** Why a key that nothing here admits is refused where there is no back end. */
  refusalOf(key: Uint8Array): string {
    if (this.#leases === undefined) return 'the list of keys does not have it'
    if (this.#leases.find(key) !== undefined) return 'its lease has ended'
    return this.#list === undefined
      ? 'the lease does not have it'
      : 'neither the list of keys nor the lease has it'
  }

  get listSize(): number {
    return this.#list?.size ?? 0
  }

  /** Some keys are known, and would be admitted in an outage. */
  get isGraceful(): boolean {
    return this.#policy.graceMs > 0 && this.memory.size + this.#siblingMemory.size > 0
  }

  /** How long known keys are still admitted; undefined while back ends decide. */
  get graceLeftMs(): number | undefined {
    if (this.#failingSinceMs === undefined) return undefined
    return Math.max(0, this.#policy.graceMs - (this.#parts.now() - this.#failingSinceMs))
  }

  /** Of the grace, what is left: 1 while back ends decide; undefined if nothing is remembered. */
  get graceLeftRatio(): number | undefined {
    const { graceMs } = this.#policy
    return graceMs === 0 ? undefined : (this.graceLeftMs ?? graceMs) / graceMs
  }

  /** When a back end failed first, since it last decided; undefined while they decide. */
  get failingSinceMs(): number | undefined {
    return this.#failingSinceMs
  }

  setFailing(sinceMs: number | undefined): void {
    this.#failingSinceMs = sinceMs
  }

  /** What an earlier run knew: no back end had decided for so long. Holds until one does. */
  continueFailing(forMs: number): void {
    this.#failingSinceMs = this.#parts.now() - forMs
  }

  /** To be called now and then: forgets what is too old to be of use. */
  sweep(): void {
    this.memory.sweep()
    this.#siblingMemory.sweep()
  }

  /** The answer if no back end needs to be asked. */
  answer(key: Uint8Array, isHere: boolean): AdmissionAnswer | undefined {
    const { bans, memory } = this
    const refusal = bans.refusal(key)
    if (refusal !== undefined) return { result: 'denied_by_operator', reason: refusal }
    const rule = this.#list?.find(key)
    if (rule !== undefined)
      return rule.isAllowed
        ? this.#admit(key, 'allowed')
        : { result: 'denied', reason: 'the list of keys denies it' }
    const leased = this.#leases?.find(key)
    if (leased?.isAllowed === false) return { result: 'denied', reason: 'the lease denies it' }
    if (leased !== undefined && leased.leftMs > 0) return this.#admitUntil(key, leased.leftMs)
    const remembered = memory.refusal(key)
    if (remembered !== undefined && !isHere) return { result: 'denied', reason: remembered }
    if (leased !== undefined) return undefined
    const ageMs = memory.ageMs(key)
    const { graceMs, recheckMs } = this.#policy
    const freshMs = Math.min(graceMs, isHere ? (1 - SPREAD) * recheckMs : FRESH_MS)
    const isFresh = ageMs !== undefined && ageMs < freshMs
    return isFresh ? this.#admit(key, 'memory', 'admitted a moment ago') : undefined
  }

  /** The answer for a key that was admitted before, while no back end can be asked; undefined: it is not known. */
  answerMeanwhile(key: Uint8Array): AdmissionAnswer | undefined {
    const { graceMs, recheckMs } = this.#policy
    if (this.#leases?.find(key) !== undefined) return undefined
    const ageMs = Math.min(this.memory.ageMs(key) ?? Infinity, this.#siblingMemory.ageMs(key) ?? Infinity)
    const failingMs = this.#failingSinceMs === undefined ? 0 : this.#parts.now() - this.#failingSinceMs
    const isKnown = ageMs - failingMs <= graceMs + recheckMs && failingMs < graceMs
    return isKnown ? this.#admit(key, 'memory', 'known, and the back end cannot be asked') : undefined
  }

  /** The answer for a key whose lease has ended, when back ends say nothing: it is not to stay. Undefined for any other key. */
  answerEnded(key: Uint8Array): AdmissionAnswer | undefined {
    if (this.#leases?.find(key) === undefined) return undefined
    return { result: 'denied', reason: 'its lease has ended, and the back end cannot be asked' }
  }

  /** What back ends have said. Clients that they let in are asked about again, whatever they said. */
  noted(key: Uint8Array, answer: AdmissionAnswer): AdmissionAnswer {
    if (answer.result === 'allowed') this.memory.noteAdmitted(key, 0, answer.budget)
    else if (answer.result === 'denied') this.#refused(key, answer.reason)
    return answer.result === 'denied' ? answer : { ...answer, ...this.#recheck() }
  }

  #refused(key: Uint8Array, reason: string): void {
    this.memory.noteRefused(key, reason)
    this.#siblingMemory.noteRefused(key, reason)
  }

  /** Siblings have admitted these keys, one after another. */
  siblingsHave(keys: Uint8Array): void {
    if (!this.#policy.trustsSiblings) return
    for (let at = 0; at < keys.length; at += KEY_BYTES)
      this.#siblingMemory.noteAdmitted(keys.subarray(at, at + KEY_BYTES))
  }

  #admit(key: Uint8Array, result: 'allowed' | 'memory', reason = '') {
    return { result, reason, budget: this.budgetOf(key), ...this.#recheck() } satisfies AdmissionAnswer
  }

  /** A client with a lease is asked about again when that ends. */
  #admitUntil(key: Uint8Array, leftMs: number): AdmissionAnswer {
    const answer = this.#admit(key, 'allowed')
    return { ...answer, recheckInMs: Math.min(answer.recheckInMs, leftMs + AFTER_END_MS) }
  }

  /** Infinite: not until what admission goes by changes. */
  #recheck(): { readonly recheckInMs: number } {
    const { recheckMs } = this.#policy
    return { recheckInMs: recheckMs > 0 ? recheckMs * (1 - (1 - SPREAD) * this.#parts.random()) : Infinity }
  }
}
