// What an operator orders for one key: a kick ends a client's connections to this relay and refuses it for a while, a denial does so
// until it is taken back. Asks all siblings to do the same, and does it for siblings that the operator takes kicks from. A sibling is
// known by the node key that its session has proven. Every order leaves a line in the log of each relay: that of the command where it
// was given, and one here for what a sibling asked for. Runs on the control thread.
//
// Contract: a sibling that is not permitted changes nothing, is told so, and its attempts are counted.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { BANS_MAX } from '#admission/bans.ts'
import type { RelayView } from '#fleet/fleet-state.ts'
import {
  readKick,
  writeKick,
  type KeyOrder,
  type KickAnswer,
  type KickAsk,
  type KickView,
} from '#fleet/kick.ts'
import type { LineLimit } from '#ops/line-limit.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { denialLines, type VerbDenials } from '#ops/verb-denials.ts'
import { takesKicksFrom } from '#protocol/kicks-from.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { RelayAdmission } from './admission.ts'
import type { MessageSource, RelayThreads } from './relay-threads.ts'

/** Links to other regions may have to be dialled first. */
const LINK_MS = 3_000
const LINK_LOOK_MS = 100
/** The way there and back, a turn of each thread, and a relay that is busy. */
const ANSWER_MS = 5_000
const NOT_PERMITTED = 'it takes no kicks from this relay; see -kicks-from'

export interface KickServiceParts {
  readonly admission: Pick<RelayAdmission, 'bans' | 'isOff' | 'keepBan' | 'kicksFrom'>
  readonly threads: Pick<RelayThreads, 'broadcast' | 'handled' | 'counters'>
  readonly fleet: {
    readonly fleet: { readonly relays: readonly RelayView[] }
    /** Names of siblings to which a link is up. */
    readonly linked: readonly string[]
    /** Dials these siblings, if they are not linked because they were not needed. */
    wake(names: readonly string[]): void
    /** Returns whether a link is up. */
    send(name: string, message: Uint8Array): boolean
  }
  readonly denials: Pick<VerbDenials, 'count'>
  readonly log: Log
}

/** What was done here. */
export interface KickDone {
  readonly ended: number
  /** For how long the key is denied from now on; infinite: until it is taken back; 0: it is not. */
  readonly deniedMs: number
  readonly wasDenied: boolean
  /** A later run of this relay will know it. */
  readonly isKept: boolean
}

export type KickOutcome = KickDone | { readonly refusal: string }

export class KickService {
  readonly #parts: KickServiceParts
  /** Requests of this relay that wait, by their ids. */
  readonly #waiting = new Map<string, (answer: KickAnswer) => void>()
  readonly #lines: LineLimit<string>

  constructor(parts: KickServiceParts) {
    this.#parts = parts
    this.#lines = denialLines(parts.log)
  }

  /** Does it at this relay. */
  async obey(order: KeyOrder): Promise<KickOutcome> {
    const { admission, threads } = this.#parts
    const { key } = order
    const wasDenied = admission.bans.find(key) !== undefined
    const refusal = this.#refusalOf(order) ?? this.#change(order)
    if (refusal !== undefined) return { refusal }
    const kept = admission.keepBan(key)
    const deniedMs = admission.bans.find(key)?.forMs ?? 0
    const before = kickedBy(threads.counters)
    // Whoever is here without having been denied has done nothing that allowing it should end.
    if (order.kick !== 'allow' || wasDenied) threads.broadcast({ kind: 'endKey', key, forMs: deniedMs })
    await threads.handled()
    return { ended: kickedBy(threads.counters) - before, deniedMs, wasDenied, isKept: await kept }
  }

  /** Asks every other relay of the fleet to do the same. */
  async askSiblings(order: KeyOrder): Promise<readonly KickView[]> {
    const names = this.#others
    await this.#link(names)
    return await Promise.all(names.map(async (name) => await this.#askOne(name, order)))
  }

  /** A sibling asks or answers. @param key proven by its session or its link */
  take(key: Uint8Array, message: Uint8Array, from: Pick<MessageSource, 'send'>): void {
    const kick = readKick(message)
    if (kick?.kick === 'answer') return this.#waiting.get(kick.id)?.(kick)
    if (kick !== undefined) void this.#obeySibling(key, kick, from)
  }

  /** An open relay can only end connections. */
  #refusalOf(order: KeyOrder): string | undefined {
    if (!this.#parts.admission.isOff || order.kick === 'allow' || order.seconds === 0) return undefined
    const why = 'this relay is open: it asks nobody, and so can refuse nobody'
    return order.kick === 'ask' ? `seconds is ${order.seconds}; expected 0, because ${why}` : why
  }

  /** Returns why it cannot be done. */
  #change(order: KeyOrder): string | undefined {
    const { bans } = this.#parts.admission
    if (order.kick === 'allow' || order.seconds === 0) {
      bans.lift(order.key)
      return undefined
    }
    const forMs = order.seconds === undefined ? Infinity : 1_000 * order.seconds
    const sinceMs = Date.now()
    // A kick for ten minutes does not let somebody in who is denied for longer.
    const isDone =
      order.kick === 'ask'
        ? bans.extend(order.key, { forMs, sinceMs, reason: '' })
        : bans.set(order.key, { forMs, sinceMs, reason: order.reason })
    return isDone
      ? undefined
      : `${BANS_MAX} keys are denied already, and all for longer; allow some of them again`
  }

  get #others(): readonly string[] {
    const { fleet, linked } = this.#parts.fleet
    const listed = fleet.relays.filter(({ isListed, isOwn }) => isListed && !isOwn).map(({ name }) => name)
    return [...new Set([...listed, ...linked])].toSorted()
  }

  /** Resolves when all are linked, or after a while. */
  async #link(names: readonly string[]): Promise<void> {
    const { fleet } = this.#parts
    const missing = (): readonly string[] => names.filter((name) => !fleet.linked.includes(name))
    if (missing().length === 0) return
    fleet.wake(missing())
    const untilMs = performance.now() + LINK_MS
    while (missing().length > 0 && performance.now() < untilMs) await sleep(LINK_LOOK_MS)
  }

  async #askOne(relay: string, order: KeyOrder): Promise<KickView> {
    const id = randomUUID()
    const answered = Promise.withResolvers<KickAnswer>()
    this.#waiting.set(id, answered.resolve)
    const gone = new AbortController()
    try {
      if (!this.#parts.fleet.send(relay, writeKick({ ...order, id })))
        return { relay, ended: 0, problem: 'it was not asked: there is no link to it, or it is a derper' }
      const answer = await Promise.race([
        answered.promise,
        sleep(ANSWER_MS, undefined, { signal: gone.signal }).catch(() => undefined),
      ])
      if (answer === undefined)
        return { relay, ended: 0, problem: 'it has not answered: it is busy, or a version without this' }
      return { relay, ended: answer.ended, problem: answer.refusal }
    } finally {
      gone.abort()
      this.#waiting.delete(id)
    }
  }

  async #obeySibling(sibling: Uint8Array, ask: KickAsk, from: Pick<MessageSource, 'send'>): Promise<void> {
    const name = publicKeyText(sibling)
    const outcome = takesKicksFrom(this.#parts.admission.kicksFrom, sibling)
      ? await this.#obeyFor(name, ask)
      : this.#notPermitted(name)
    const done = 'refusal' in outcome ? { ended: 0, ...outcome } : { ended: outcome.ended, refusal: '' }
    const state = writeKick({ kick: 'answer', id: ask.id, ...done })
    from.send({ kind: 'answerSibling', key: sibling, state })
  }

  async #obeyFor(sibling: string, order: KeyOrder): Promise<KickOutcome> {
    const outcome = await this.obey(order)
    this.#parts.log.info(LogEvent.verbCalled, {
      ...auditFields(order),
      caller: `sibling ${sibling}`,
      ...('refusal' in outcome ? { result: 'refused', reason: outcome.refusal } : { result: 'done' }),
    })
    return outcome
  }

  #notPermitted(sibling: string): KickOutcome {
    const { denials, log } = this.#parts
    denials.count('sibling')
    const reason = 'kicks are not taken from it'
    if (this.#lines.take(reason)) log.warn(LogEvent.verbDenied, { address: `sibling ${sibling}`, reason })
    return { refusal: NOT_PERMITTED }
  }
}

/** The verb and its parameters, as a call of it has them. */
function auditFields(order: KeyOrder): Readonly<Record<string, unknown>> {
  const key = publicKeyText(order.key)
  if (order.kick === 'allow') return { verb: 'allow', key }
  const { seconds } = order
  if (order.kick === 'ask') return { verb: 'kick', key, seconds }
  return { verb: 'deny', key, seconds, why: order.reason === '' ? undefined : order.reason }
}

function kickedBy(counters: readonly Counters[]): number {
  return counters.reduce((sum, one) => sum + one.ended(EndReason.kicked), 0)
}
