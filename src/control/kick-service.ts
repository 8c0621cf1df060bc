// Kicks: ends a client's connections to this relay and refuses it for a while, asks all siblings to do the same, and does it for
// siblings that the operator takes kicks from. A sibling is known by the node key that its session has proven. Every kick leaves a
// line in the log of each relay: that of the command where it was given, and one here for what a sibling asked for. Runs on the
// control thread.
//
// Contract: a sibling that is not permitted changes nothing, is told so, and its attempts are counted.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RelayView } from '#fleet/fleet-state.ts'
import { readKick, writeKick, type Kick, type KickView } from '#fleet/kick.ts'
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
  readonly admission: Pick<RelayAdmission, 'ban' | 'isOff' | 'kicksFrom'>
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
export type KickOutcome = { readonly ended: number } | { readonly refusal: string }

type Answer = Extract<Kick, { kick: 'answer' }>
type Ask = Extract<Kick, { kick: 'ask' }>

export class KickService {
  readonly #parts: KickServiceParts
  /** Requests of this relay that wait, by their ids. */
  readonly #waiting = new Map<string, (answer: Answer) => void>()
  readonly #lines: LineLimit<string>

  constructor(parts: KickServiceParts) {
    this.#parts = parts
    this.#lines = denialLines(parts.log)
  }

  /** Ends the client's connections to this relay. @param seconds for which it may not come back; 0: it may */
  async kick(key: Uint8Array, seconds: number): Promise<KickOutcome> {
    const { admission, threads } = this.#parts
    if (admission.isOff && seconds > 0) {
      return {
        refusal: `seconds is ${seconds}; expected 0, because this relay is open: it asks nobody, and so can refuse nobody`,
      }
    }
    admission.ban(key, 1_000 * seconds)
    const before = kickedBy(threads.counters)
    threads.broadcast({ kind: 'endKey', key, forMs: 1_000 * seconds })
    await threads.handled()
    return { ended: kickedBy(threads.counters) - before }
  }

  /** Asks every other relay of the fleet to do the same. */
  async kickAtSiblings(key: Uint8Array, seconds: number): Promise<readonly KickView[]> {
    const names = this.#others
    await this.#link(names)
    return await Promise.all(names.map(async (name) => await this.#askOne(name, key, seconds)))
  }

  /** A sibling asks or answers. @param key proven by its session or its link */
  take(key: Uint8Array, message: Uint8Array, from: Pick<MessageSource, 'send'>): void {
    const kick = readKick(message)
    if (kick?.kick === 'answer') return this.#waiting.get(kick.id)?.(kick)
    if (kick?.kick === 'ask') void this.#obey(key, kick, from)
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

  async #askOne(relay: string, key: Uint8Array, seconds: number): Promise<KickView> {
    const id = randomUUID()
    const answered = Promise.withResolvers<Answer>()
    this.#waiting.set(id, answered.resolve)
    const gone = new AbortController()
    try {
      if (!this.#parts.fleet.send(relay, writeKick({ kick: 'ask', id, key, seconds })))
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

  async #obey(
    sibling: Uint8Array,
    { id, key, seconds }: Ask,
    from: Pick<MessageSource, 'send'>,
  ): Promise<void> {
    const name = publicKeyText(sibling)
    const outcome = takesKicksFrom(this.#parts.admission.kicksFrom, sibling)
      ? await this.#kickFor(name, key, seconds)
      : this.#deny(name)
    const state = writeKick({ kick: 'answer', id, ended: 0, refusal: '', ...outcome })
    from.send({ kind: 'answerSibling', key: sibling, state })
  }

  async #kickFor(sibling: string, key: Uint8Array, seconds: number): Promise<KickOutcome> {
    const outcome = await this.kick(key, seconds)
    this.#parts.log.info(LogEvent.verbCalled, {
      verb: 'kick',
      caller: `sibling ${sibling}`,
      key: publicKeyText(key),
      seconds,
      ...('refusal' in outcome ? { result: 'refused', reason: outcome.refusal } : { result: 'done' }),
    })
    return outcome
  }

  #deny(sibling: string): KickOutcome {
    const { denials, log } = this.#parts
    denials.count('sibling')
    const reason = 'kicks are not taken from it'
    if (this.#lines.take(reason)) log.warn(LogEvent.verbDenied, { address: `sibling ${sibling}`, reason })
    return { refusal: NOT_PERMITTED }
  }
}

function kickedBy(counters: readonly Counters[]): number {
  return counters.reduce((sum, one) => sum + one.ended(EndReason.kicked), 0)
}
