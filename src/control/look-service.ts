// Looks from outside, both sides: asks siblings to try the ports of this relay, and tries the ports of siblings that ask. Over
// mesh links alone, whose ends have proven their keys. Runs on the control thread.
//
// Contract: a relay is no port scanner. A request has no address and no port. What is tried is what this relay's own regions
// file has for the relay that asks, at most once in two seconds for each, and for four of them at a time.

import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetState } from '#fleet/fleet-state.ts'
import {
  readLook,
  shortDetail,
  writeLook,
  type Look,
  type LookedPort,
  type OutsideView,
} from '#fleet/look.ts'
import type { Node } from '#fleet/node.ts'
import type { Region } from '#fleet/region.ts'
import { siblingName } from '#fleet/sibling.ts'
import type { Verb } from '#ops/verb.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { lookAt } from './outside-look.ts'
import type { MessageSource } from './relay-threads.ts'

/** Two outsides tell a fault of the relay from one of the way; a third, if one of the two is at fault itself. */
const ASKED_MAX = 3
/** Name, connection and login, each within its own limit, and the way there and back. */
const ANSWER_MS = 9_000
const EVERY_MS = 2_000
const UNDER_WAY_MAX = 4
const TOO_SOON = 'it has looked a moment ago, or looks at others'
const CLAIMS_MAX = 8

export interface LookServiceParts {
  readonly fleet: {
    readonly fleet: Pick<FleetState, 'relays' | 'conflicts'>
    /** Names of siblings to which a link is up. */
    readonly linked: readonly string[]
    /** Returns whether a link is up. */
    send(name: string, message: Uint8Array): boolean
  }
  /** Undefined without a mesh key. */
  readonly mesh:
    | { readonly fileRegions: readonly Region[]; regionOf(name: string): number | undefined }
    | undefined
  readonly authorities: () => readonly string[]
}

type Asked = Pick<OutsideView, 'by' | 'region'>
type Answer = Extract<Look, { look: 'answer' }>

export class LookService {
  readonly #parts: LookServiceParts
  /** Requests of this relay that wait, by their ids. */
  readonly #waiting = new Map<string, (answer: Answer) => void>()
  /** When each relay was looked at last, by its key; at most as many as the fleet has. */
  readonly #lookedMs = new Map<string, number>()
  #underWay = 0

  constructor(parts: LookServiceParts) {
    this.#parts = parts
  }

  /** Asks a few siblings, those of other regions first. */
  async ask(): Promise<readonly OutsideView[]> {
    const own = this.#ownRegions
    const regionOf = (name: string): number | undefined => this.#parts.mesh?.regionOf(name)
    const isElsewhere = (name: string): number => (own.has(regionOf(name)) ? 1 : 0)
    const names = [...this.#parts.fleet.linked].sort((a, b) => isElsewhere(a) - isElsewhere(b))
    return await Promise.all(
      names.slice(0, ASKED_MAX).map(async (by) => await this.#askPatiently({ by, region: regionOf(by) })),
    )
  }

  /** A sibling asks or answers. @param key proven by its session or its link */
  take(key: Uint8Array, message: Uint8Array, from: MessageSource): void {
    const look = readLook(message)
    if (look?.look === 'answer') return this.#waiting.get(look.id)?.(look)
    if (look?.look === 'ask') void this.#look(key, look.id, from)
  }

  get #ownRegions(): ReadonlySet<number | undefined> {
    const own = this.#parts.fleet.fleet.relays.find(({ isOwn }) => isOwn)
    const regions = this.#parts.mesh?.fileRegions ?? []
    return new Set(
      regions.filter(({ nodes }) => nodes.some(({ name }) => own?.nodes.includes(name))).map(({ id }) => id),
    )
  }

  /** Two examinations that follow each other must not spoil the second one. */
  async #askPatiently(sibling: Asked): Promise<OutsideView> {
    const view = await this.#askOne(sibling)
    if (view.problem !== TOO_SOON) return view
    await sleep(EVERY_MS)
    return await this.#askOne(sibling)
  }

  async #askOne(sibling: Asked): Promise<OutsideView> {
    const id = randomUUID()
    const answered = Promise.withResolvers<Answer>()
    this.#waiting.set(id, answered.resolve)
    const gone = new AbortController()
    try {
      if (!this.#parts.fleet.send(sibling.by, writeLook({ look: 'ask', id })))
        return { ...sibling, problem: 'the link to it is not up', ports: [] }
      const answer = await Promise.race([
        answered.promise,
        sleep(ANSWER_MS, undefined, { signal: gone.signal }).catch(() => undefined),
      ])
      if (answer === undefined)
        return { ...sibling, problem: 'no answer: it is busy, or a version without this', ports: [] }
      return {
        ...sibling,
        problem: answer.refusal,
        clockAheadMs: answer.nowMs - Date.now(),
        hasSameRegions: answer.regions === regionsDigest(this.#parts.mesh?.fileRegions ?? []),
        claims: answer.claims,
        ports: answer.ports,
      }
    } finally {
      gone.abort()
      this.#waiting.delete(id)
    }
  }

  async #look(key: Uint8Array, id: string, from: MessageSource): Promise<void> {
    const of = publicKeyText(key)
    const nowMs = performance.now()
    const isTooSoon = nowMs - (this.#lookedMs.get(of) ?? -Infinity) < EVERY_MS
    const nodes = this.#nodesOf(of)
    const refusal =
      nodes.length === 0
        ? 'its regions file does not have this relay'
        : isTooSoon || this.#underWay >= UNDER_WAY_MAX
          ? TOO_SOON
          : ''
    let ports: readonly LookedPort[] = []
    if (refusal === '') {
      this.#lookedMs.set(of, nowMs)
      this.#underWay++
      ports = await lookAt(nodes, { authorities: this.#parts.authorities() }).finally(() => this.#underWay--)
    }
    const regions = regionsDigest(this.#parts.mesh?.fileRegions ?? [])
    const claims = this.#claimsAgainst(of)
    const state = writeLook({ look: 'answer', id, nowMs: Date.now(), regions, refusal, claims, ports })
    from.send({ kind: 'answerSibling', key, state })
  }

  /** Who claims a node of that relay, as far as this one knows. */
  #claimsAgainst(key: string): readonly string[] {
    const claims = this.#parts.fleet.fleet.conflicts.filter(({ owner, other }) =>
      [owner, other].includes(key),
    )
    return claims
      .slice(0, CLAIMS_MAX)
      .map(({ what, owner, other }) => shortDetail(`${what} is claimed by ${owner} and by ${other}`))
  }

  /**
   * The nodes of the relay with this key by this relay's own file: what the fleet's state has found out of it. The port that is
   * to be tried may be closed, so the link to that relay need not have been up ever.
   */
  #nodesOf(key: string): readonly Node[] {
    const relay = this.#parts.fleet.fleet.relays.find(
      ({ isListed, isOwn, last }) => isListed && !isOwn && last?.key === key,
    )
    const all = this.#parts.mesh?.fileRegions.flatMap(({ nodes }) => nodes) ?? []
    return relay === undefined ? [] : all.filter((node) => siblingName(node) === relay.name)
  }
}

/** The verb by which an operator has siblings look at this relay. */
export function outsideVerb(looks: Pick<LookService, 'ask'>): Verb {
  return {
    name: 'outside',
    // It changes nothing here, but sends others to work, so that its calls are in the log.
    changes: true,
    parameters: {},
    answer: async () => ({ isDone: true, body: { views: await looks.ask() } }),
  }
}

/** Equal for equal regions, on whichever relay. */
function regionsDigest(regions: readonly Region[]): string {
  const sorted = regions.toSorted((a, b) => a.id - b.id)
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16)
}
