// How the relays of the fleet are: the last state of each, as it has told it, and what this relay's own links show of
// relays that tell none, such as derpers and older versions. Answers for each node whether the map may name it. Has no
// clock, no timers and no I/O; time is passed in. Runs on the control thread.
//
// Contract: bounded, whatever comes. What is not known counts as up: a map must not lose a relay because nobody has heard
// of it yet.

import { latencyMatrix, type LatencyMatrix } from './latency-matrix.ts'
import { NodeState } from './node-state.ts'
import { downAfterMs, RelayRecord, type Acceptance, type StateCarrier } from './relay-record.ts'
import { readRelayState, type RelayState } from './relay-state.ts'

/** Relays that a fleet may have, and as many that claim to belong to it. */
const RELAYS_MAX = 1_000
/** An operator corrects the first ones first. */
const CONFLICTS_MAX = 100
/** A relay that is in no file and silent for so long has gone: its machine has another key now, or it was taken out of the file. */
const FORGOTTEN_MS = 3_600_000
/** How often derpers and older versions would tell their state if they did. */
const USUAL_EVERY_MS = 5_000

/** Where a message comes from. */
export interface StateSource {
  /** The key of the relay as text: over a link it is proven, over the directory it is claimed. */
  readonly key: string
  readonly carrier: StateCarrier
}

/** Why a message was not read or not taken, beside what its record says. */
export type TakeResult = Acceptance | 'unreadable' | 'other_key' | 'too_often' | 'too_many_relays'
export const TAKE_RESULTS: readonly TakeResult[] = [
  'taken',
  'duplicate',
  'stale',
  'former_run',
  'unreadable',
  'other_key',
  'too_often',
  'too_many_relays',
]

export interface Taken {
  readonly result: TakeResult
  /** What was wrong with the message, or with some of its fields; empty if nothing was. */
  readonly problems: readonly string[]
}

/** A relay by the fleet's file or by options. */
export interface ListedRelay {
  /** Its name among siblings. */
  readonly name: string
  readonly nodes: readonly string[]
  readonly isOwn: boolean
  /** It need not run, because each of its regions is off: it is none of those of whom a majority is to be seen. */
  readonly isOff?: boolean | undefined
}

/** This relay's link to a sibling. */
export interface LinkEvidence {
  readonly name: string
  /** Undefined: there is none, because it has not been needed. */
  readonly isUp: boolean | undefined
  /** Proven; undefined while the link is not up. */
  readonly key: string | undefined
  /** Undefined for derper. */
  readonly instance: string | undefined
}

/** What is known of a link, and since when it is not up. */
interface KnownLink extends LinkEvidence {
  readonly downSinceMs: number | undefined
  /** The last key that the sibling has proven, also while the link is not up. */
  readonly provenKey: string | undefined
}

/** Two relays that claim one node, or one key. */
export interface FleetConflict {
  readonly what: string
  /** The key of the relay that counts. */
  readonly owner: string
  readonly other: string
}

export interface RelayView {
  /** Its name among siblings; of a relay that is not listed, the host name that it gives itself. */
  readonly name: string
  readonly isListed: boolean
  readonly isOwn: boolean
  readonly nodes: readonly string[]
  readonly state: NodeState
  /** `state`: it has told its state; `link`: only a link shows that it is there; `none`: nothing is known. */
  readonly knownBy: 'state' | 'link' | 'none'
  /** Since the last message; undefined if there was none. */
  readonly ageMs: number | undefined
  readonly last: RelayState | undefined
  readonly problems: readonly string[]
}

/** Relays of the file that this relay knows to be there, of those that have not ended in order and whose regions are not off. */
export interface Majority {
  readonly seen: number
  readonly expected: number
  readonly isMajority: boolean
}

export class FleetState {
  readonly #now: () => number
  readonly #ownKey: string
  #listed: readonly ListedRelay[] = []
  #byNode: ReadonlyMap<string, ListedRelay> = new Map()
  /** By key; the relay that was heard first comes first. */
  readonly #records = new Map<string, RelayRecord>()
  /** By node: the keys of relays that claim it, the first one first. */
  readonly #claims = new Map<string, Set<string>>()
  /** By the sibling's name. */
  #links: ReadonlyMap<string, KnownLink> = new Map()
  #directoryLostMs: number | undefined = undefined
  readonly #results = new Map<TakeResult, number>(TAKE_RESULTS.map((result) => [result, 0]))

  /** @param now monotonic milliseconds */
  constructor({ now, ownKey }: { readonly now: () => number; readonly ownKey: string }) {
    this.#now = now
    this.#ownKey = ownKey
  }

  // ── what is told ──

  /** A relay tells its state. */
  take(message: Uint8Array, from: StateSource): Taken {
    const taken = this.#take(message, from)
    this.#results.set(taken.result, (this.#results.get(taken.result) ?? 0) + 1)
    return taken
  }

  #take(message: Uint8Array, { key, carrier }: StateSource): Taken {
    const nowMs = this.#now()
    const known = this.#records.get(key)
    if (known?.mayBeRead(carrier, nowMs) === false) return { result: 'too_often', problems: [] }
    const read = readRelayState(message)
    if (typeof read === 'string') return { result: 'unreadable', problems: [read] }
    const { state, problems } = read
    if (state.key !== key) return { result: 'other_key', problems: [`is of ${state.key}`] }
    if (key === this.#ownKey) return this.#takeOther(state)
    if (carrier === 'directory' && !this.#isLinkedRun(state)) return { result: 'former_run', problems }
    if (known === undefined) {
      if (!this.#hasRoomFor(key)) return { result: 'too_many_relays', problems }
      this.#add(new RelayRecord(state, carrier, nowMs), problems)
      return { result: 'taken', problems }
    }
    // A relay that returns claims its nodes anew: meanwhile another may have taken its place.
    const isAnew = this.#isDown(known)
    const before = known.state.nodes
    const result = known.accept(state, carrier, nowMs)
    if (result !== 'taken') return { result, problems }
    known.problems = problems
    this.#disclaim(known.key, isAnew ? before : before.filter((node) => !state.nodes.includes(node)))
    this.#claim(known.key, state.nodes)
    return { result, problems }
  }

  /** False: the link leads to another run of that relay. A user of the directory has repeated an old message. */
  #isLinkedRun({ key, instance }: RelayState): boolean {
    const link = [...this.#links.values()].find((one) => one.isUp === true && one.key === key)
    return link?.instance === undefined || link.instance === instance
  }

  /** The state that this relay tells. */
  takeOwn(state: RelayState): void {
    const known = this.#records.get(state.key)
    if (known === undefined) return this.#add(new RelayRecord(state, 'link', this.#now()), [])
    const before = known.state.nodes
    if (known.accept(state, 'link', this.#now()) !== 'taken') return
    this.#disclaim(state.key, before)
    this.#claim(state.key, state.nodes)
  }

  /** Another process with this relay's key: another run of this relay, or a relay with a copied key. */
  #takeOther({ instance }: RelayState): Taken {
    const own = this.#records.get(this.#ownKey)
    if (own?.state.instance === instance) return { result: 'duplicate', problems: [] }
    return { result: 'other_key', problems: ['has the key of this relay'] }
  }

  /** All relays of the fleet by its file, this one included. */
  setRelays(relays: readonly ListedRelay[]): void {
    this.#listed = relays.slice(0, RELAYS_MAX)
    this.#byNode = new Map(this.#listed.flatMap((relay) => relay.nodes.map((node) => [node, relay])))
    this.#forgetGone()
  }

  #forgetGone(): void {
    const nowMs = this.#now()
    const isGone = (one: RelayRecord): boolean =>
      this.#isDown(one) && one.ageMs(nowMs, this.#directoryLostMs) > FORGOTTEN_MS && !this.#isProven(one.key)
    const gone = [...this.#records.values()].filter(isGone)
    if (gone.length === 0) return
    const listed = new Set(this.#listed.map((relay) => this.#recordOf(relay)))
    for (const record of gone) if (!listed.has(record)) this.#forget(record)
  }

  #forget({ key, state }: RelayRecord): void {
    this.#records.delete(key)
    this.#disclaim(key, state.nodes)
  }

  /** This relay's links as they are now. */
  setLinks(links: readonly LinkEvidence[]): void {
    const nowMs = this.#now()
    const before = this.#links
    this.#links = new Map(
      links.map((link) => {
        const known = before.get(link.name)
        const downSinceMs = link.isUp === false ? (known?.downSinceMs ?? nowMs) : undefined
        return [link.name, { ...link, downSinceMs, provenKey: link.key ?? known?.provenKey }]
      }),
    )
  }

  /** Without a directory, relays that are heard by it alone stay as they were. */
  setDirectory(isConnected: boolean): void {
    const nowMs = this.#now()
    if (!isConnected) this.#directoryLostMs ??= nowMs
    else if (this.#directoryLostMs !== undefined) {
      for (const record of this.#records.values()) record.resume(this.#directoryLostMs, nowMs)
      this.#directoryLostMs = undefined
    }
  }

  // ── what follows ──

  /** Whether clients may be sent to the node. A node of which nothing is known is up. */
  stateOf(nodeName: string): NodeState {
    return this.seenStateOf(nodeName) ?? NodeState.up
  }

  /** The same; undefined while nothing is known of the node. */
  seenStateOf(nodeName: string): NodeState | undefined {
    const relay = this.#byNode.get(nodeName)
    return this.#judge(this.#ownerOf(nodeName), relay && this.#links.get(relay.name))
  }

  /** How many of the relays in the file this relay sees. */
  get majority(): Majority {
    let [seen, expected] = [0, 0]
    for (const relay of this.#listed.filter(({ isOff }) => isOff !== true)) {
      const record = this.#recordOf(relay)
      const isLinked = isAlive(record, this.#links.get(relay.name))
      const isHeard = record?.isHeard(this.#now(), this.#directoryLostMs) === true
      if (relay.isOwn || isLinked || isHeard) seen++
      if (relay.isOwn || isLinked || record?.hasEnded !== true) expected++
    }
    // A relay that is off itself, and of whose siblings all have ended, misses nobody.
    return { seen, expected, isMajority: seen * 2 > expected || expected === 0 }
  }

  /** The relays of the file, and then those that are not in it. */
  get relays(): readonly RelayView[] {
    const listed = this.#listed.map((relay) => this.#viewOf(relay, this.#recordOf(relay)))
    const shown = new Set(listed.map(({ last }) => last?.key))
    const others = [...this.#records.values()].filter(({ key }) => !shown.has(key))
    return [...listed, ...others.map((record) => this.#viewOf(undefined, record))]
  }

  /** The way between any two relays, as they have measured it. */
  get matrix(): LatencyMatrix {
    return latencyMatrix(this.relays)
  }

  get conflicts(): readonly FleetConflict[] {
    const conflicts: FleetConflict[] = []
    for (const [node, keys] of this.#claims) {
      const owner = this.#ownerKeyOf(node)
      for (const other of keys) {
        if (other !== owner && !this.#isDownKey(other)) conflicts.push({ what: `node ${node}`, owner, other })
      }
    }
    for (const { key, isCopied } of this.#records.values())
      if (isCopied) conflicts.push({ what: 'key', owner: key, other: key })
    return conflicts.slice(0, CONFLICTS_MAX)
  }

  /** Messages so far by what became of them. */
  get results(): ReadonlyMap<TakeResult, number> {
    return this.#results
  }

  #add(record: RelayRecord, problems: readonly string[]): void {
    record.problems = problems
    this.#records.set(record.key, record)
    this.#claim(record.key, record.state.nodes)
  }

  /** A relay to which a link leads always has a place; another may take that of one that is down. */
  #hasRoomFor(key: string): boolean {
    if (this.#records.size < RELAYS_MAX || this.#isProven(key)) return true
    const gone = [...this.#records.values()].find((one) => this.#isDown(one) && !this.#isProven(one.key))
    if (gone === undefined) return false
    this.#forget(gone)
    return true
  }

  #isProven(key: string): boolean {
    return key === this.#ownKey || [...this.#links.values()].some(({ provenKey }) => provenKey === key)
  }

  #disclaim(key: string, nodes: readonly string[]): void {
    for (const node of nodes) {
      const keys = this.#claims.get(node)
      keys?.delete(key)
      if (keys?.size === 0) this.#claims.delete(node)
    }
  }

  /** Behind those that claim the nodes already; a claim that stands keeps its place. */
  #claim(key: string, nodes: readonly string[]): void {
    for (const node of nodes) this.#claims.set(node, (this.#claims.get(node) ?? new Set()).add(key))
  }

  /** The key that the link to the node has proven last, this relay's own for its nodes. */
  #provenKeyOf(node: string): string | undefined {
    const relay = this.#byNode.get(node)
    return relay?.isOwn === true ? this.#ownKey : relay && this.#links.get(relay.name)?.provenKey
  }

  /** The key that counts for the node: the proven one, else that of the first relay that claims it and is not down. */
  #ownerKeyOf(node: string): string {
    const keys = [...(this.#claims.get(node) ?? [])]
    return this.#provenKeyOf(node) ?? keys.find((key) => !this.#isDownKey(key)) ?? keys.at(-1) ?? ''
  }

  /** Undefined if nobody claims the node, or the relay that the link to it leads to tells no state. */
  #ownerOf(node: string): RelayRecord | undefined {
    return this.#records.get(this.#ownerKeyOf(node))
  }

  #recordOf({ name, nodes, isOwn }: ListedRelay): RelayRecord | undefined {
    if (isOwn) return this.#records.get(this.#ownKey)
    for (const node of nodes) {
      const owner = this.#ownerOf(node)
      if (owner !== undefined) return owner
    }
    const key = this.#links.get(name)?.provenKey
    return key === undefined ? undefined : this.#records.get(key)
  }

  #judge(record: RelayRecord | undefined, link: KnownLink | undefined): NodeState | undefined {
    if (record !== undefined && !this.#isByLink(record, link)) {
      if (this.#isDown(record)) return NodeState.down
      return record.state.health.state === 'draining' ? NodeState.draining : NodeState.up
    }
    // A run that has taken over says that it drains as long as the one before does: so that means nothing here.
    if (link?.isUp !== false) return link?.isUp === true ? NodeState.up : undefined
    const isDown = this.#now() - (link.downSinceMs ?? Infinity) > downAfterMs(USUAL_EVERY_MS)
    return isDown ? NodeState.down : undefined
  }

  /** The link says more than the last message: it leads to a relay that tells no state. */
  #isByLink(record: RelayRecord, link: KnownLink | undefined): boolean {
    if (record.hasHandedOver) return true
    return link?.isUp === true && this.#isDown(record) && isToOther(record, link)
  }

  /** This relay does not take itself for dead, however late its own messages are. */
  #isDown(record: RelayRecord): boolean {
    if (record.key === this.#ownKey) return record.hasEnded
    return record.isDown(this.#now(), this.#directoryLostMs)
  }

  #isDownKey(key: string): boolean {
    const record = this.#records.get(key)
    return record === undefined || this.#isDown(record)
  }

  #viewOf(relay: ListedRelay | undefined, record: RelayRecord | undefined): RelayView {
    const link = relay && this.#links.get(relay.name)
    const isByLink = record === undefined || this.#isByLink(record, link)
    return {
      name: relay?.name ?? record?.state.name ?? '',
      isListed: relay !== undefined,
      isOwn: relay?.isOwn ?? record?.key === this.#ownKey,
      nodes: relay?.nodes ?? record?.state.nodes ?? [],
      state: this.#judge(record, link) ?? NodeState.up,
      knownBy: !isByLink ? 'state' : link?.isUp === undefined ? 'none' : 'link',
      ageMs: record?.ageMs(this.#now(), this.#directoryLostMs),
      last: record?.state,
      problems: record?.problems ?? [],
    }
  }
}

/** The link shows that a relay is there; it is about to break if that relay has just ended. */
function isAlive(record: RelayRecord | undefined, link: KnownLink | undefined): boolean {
  return link?.isUp === true && (record?.hasEnded !== true || isToOther(record, link))
}

/** The link leads to another relay than the one that has told its state, or to another run. */
function isToOther({ key, state }: RelayRecord, link: KnownLink): boolean {
  return link.key !== key || link.instance !== state.instance
}
