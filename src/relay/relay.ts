// One relay thread's share of the relay: the sessions of this thread, and the parts that they use, put together. Takes
// links from the transport and gives each a session. Does nothing by itself: the transport calls `flushQueue.flush`
// when a turn of the loop has been read and `sweep` several times a second; interthread/ calls the `ThreadListener`
// when another thread has written something.

import { AddressGuard, type AddressGuardParts } from './address-guard.ts'
import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { bytesEqual, concatBytes, readU32 } from '#protocol/bytes.ts'
import { relayStateFrame, restartingFrame } from '#protocol/frames.ts'
import { serverKeyFrame } from '#protocol/handshake.ts'
import { takesKicksFrom, type KicksFrom } from '#protocol/kicks-from.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { switchingProtocols } from '#protocol/upgrade.ts'
import { BoxMemory } from './box-memory.ts'
import { clientPart, type ClientPart } from './client-part.ts'
import { Counter, type Counters } from './counters.ts'
import { DuplicateWatch } from './duplicate-watch.ts'
import { EndReason } from './end-reason.ts'
import { FlushQueue } from './flush-queue.ts'
import { Forwarder } from './forward.ts'
import { HandOff } from './hand-off.ts'
import { MemoryBudget } from './memory-budget.ts'
import { Outbox, type OutboxLimits } from './outbox.ts'
import { PeerRegistry } from './peer-registry.ts'
import { PeerTable } from './peer-table.ts'
import type {
  Admission,
  Link,
  LinkListener,
  Observer,
  OtherThreads,
  RouteListener,
  Routes,
  SiblingOutbox,
  TenantRoster,
} from './ports.ts'
import { PresenceWatchers } from './presence-watchers.ts'
import { Rechecks } from './rechecks.ts'
import { RelayDrain, type DrainTimes } from './relay-drain.ts'
import { RemotePresence } from './remote-presence.ts'
import type { SessionContext } from './session-context.ts'
import type { SessionLimits } from './session-limits.ts'
import { SessionList } from './session-list.ts'
import { Session } from './session.ts'
import { Tenants } from './tenants.ts'
import { TurnQueue } from './turn-queue.ts'

/**
 * A login takes a third of a millisecond, one that is as large as may be two. Packets wait no longer than that, or for a
 * quarter of what the turn takes anyway.
 */
const LOGIN_MS_PER_TURN = 2
const LOGIN_SHARE_OF_TURN = 0.25
/** Of ends that this relay causes. One takes a tenth of a millisecond. */
const ENDS_MS_PER_TURN = 1
/** A tenth of a millisecond, or two: packets do not wait longer for whoever looks. */
const CLIENTS_PER_PART = 128
/** Of the sessions, at each sweep: with sixteen sweeps a second each client's round trip is read about once a minute. */
const ROUND_TRIPS_PER_SWEEP = 1 / 1_000

export interface RelayParts {
  readonly nodeKey: KeyPair
  /** A sibling logs in with any of them. */
  readonly meshKeys: readonly Uint8Array[]
  readonly disallowedAppNames: readonly string[]
  /** Siblings whose ClosePeer counts. */
  readonly kicksFrom: KicksFrom
  /** Tells this run of the relay from any other, to siblings; undefined: they are not told. */
  readonly instance?: string | undefined
  readonly limits: SessionLimits
  readonly counters: Counters
  readonly admission: Admission
  readonly observer: Observer
  readonly routes: Routes
  /** A `SingleThread` if this thread is the whole relay. */
  readonly threads: OtherThreads
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Asks for one call of `flushQueue.flush` when the current turn of the loop has been read. */
  readonly flushLater: () => void
}

/** A connection that has got past HTTP. */
export interface AcceptedLink {
  readonly link: Link
  /** Answer with `101` before ServerKey. */
  readonly wantsAnswer: boolean
  /** The client's `Ideal-Node`; empty when it is on its ideal node. */
  readonly idealNode: string
}

export class Relay {
  readonly flushQueue: FlushQueue
  readonly addresses: AddressGuard
  /** Must be told when the route of a key changes. */
  readonly routeListener: RouteListener
  readonly #parts: RelayParts
  readonly #table: PeerTable
  readonly #registry: PeerRegistry
  readonly #forwarder: Forwarder
  readonly #handOff: HandOff
  readonly #context: SessionContext
  readonly #serverKey: Uint8Array
  readonly #answerAndServerKey: Uint8Array
  readonly #pool = new BufferPool()
  readonly #memoryBudget: MemoryBudget
  readonly #sessions: SessionList<Session>
  readonly #rechecks: Rechecks
  readonly #tenants: Tenants
  readonly #ends: TurnQueue
  #kicksFrom: KicksFrom
  /** Connections so far. */
  #accepted = 0

  constructor(parts: RelayParts) {
    this.#parts = parts
    const { counters, threads, routes, now, later, nodeKey } = parts
    const bytesMax = parts.limits.waitingBytesMax
    this.#memoryBudget = new MemoryBudget({ bytesMax, pool: this.#pool, counters })
    const isMemoryShort = (): boolean => this.#memoryBudget.share < 1
    this.#sessions = new SessionList({ now, later, isMemoryShort })
    this.#rechecks = new Rechecks(now)
    const watchers = new PresenceWatchers({ counters, ownKey: nodeKey.publicKey })
    const seed = readU32(parts.random(4), 0)
    this.#handOff = new HandOff({
      counters,
      now,
      handOn: (peer, held) => this.#forwarder.handOn(peer, held),
      giveUp: (peer) => table.giveUp(peer),
    })
    const tenants = new Tenants(seed)
    tenants.setRelayBudget(parts.limits.budgets.relay, now())
    this.#tenants = tenants
    const nextTurn = (callback: () => void): void => later(0, callback)
    this.#ends = new TurnQueue({
      perTurnMax: Infinity,
      perTurnMs: ENDS_MS_PER_TURN,
      shareOfTurn: 0,
      now,
      nextTurn,
    })
    const userTimeoutMs = (): number => this.#context.limits.tcpUserTimeoutMs
    const duplicates = new DuplicateWatch({ counters, now, userTimeoutMs })
    const forTable = { counters, threads, routes, watchers, seed, tenants, duplicates }
    const table = new PeerTable({ ...forTable, handOff: this.#handOff })
    this.#table = table
    this.routeListener = table
    this.#kicksFrom = parts.kicksFrom
    const onBan: AddressGuardParts['onBan'] = (...ban) => parts.observer.addressBanned(...ban)
    this.addresses = new AddressGuard(parts.limits.addresses, { counters, now, onBan })
    this.#registry = new PeerRegistry({
      counters,
      threads,
      table,
      watchers,
      duplicates,
      observer: parts.observer,
      mayClose: (sibling) => takesKicksFrom(this.#kicksFrom, sibling),
    })
    this.#forwarder = new Forwarder({ counters, threads, table, routes, tenants, now })
    this.flushQueue = new FlushQueue({
      counters,
      threads,
      later,
      memoryBudget: this.#memoryBudget,
      readThreads: this.#readThreads,
      flushLater: parts.flushLater,
    })
    this.#serverKey = serverKeyFrame(nodeKey.publicKey)
    this.#answerAndServerKey = concatBytes(switchingProtocols(nodeKey.publicKey), this.#serverKey)
    this.#context = this.#makeContext(seed)
    threads.connect({
      presence: new RemotePresence(table, watchers),
      packets: this.#forwarder,
      readThreads: this.#readThreads,
      wake: () => this.flushQueue.wake(),
    })
  }

  /** Keys that this thread deals with: connected to this relay, on whichever thread, or routed to a sibling. */
  get keyCount(): number {
    return this.#table.size
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** Bytes of memory lent to sessions for parts of frames and for what waits to leave. */
  get lentBytes(): number {
    return this.#pool.lentBytes
  }

  /** Begins a session on a link; what the link receives goes to the listener returned. */
  accept({ link, wantsAnswer, idealNode }: AcceptedLink): LinkListener {
    const firstBytes = wantsAnswer ? this.#answerAndServerKey : this.#serverKey
    const start = { firstBytes, idealNode, isFastStart: !wantsAnswer, number: this.#accepted++ }
    const session = new Session(link, start, this.#context)
    this.#sessions.add(session)
    return session
  }

  /** Does what is due by time, for one part of the sessions at each call. */
  sweep(): void {
    const { counters, threads, now } = this.#parts
    counters.add(Counter.sweeps, 1)
    this.#memoryBudget.update()
    this.#rechecks.sweep(this.#context.admission)
    this.#handOff.sweep(now())
    this.#sessions.visit(ROUND_TRIPS_PER_SWEEP, this.#sampleRoundTrip)
    if (threads.index === 0) counters.set(Counter.keysAtSiblings, this.#table.countAtSiblings)
    if (!this.#sessions.sweep()) return
    if (threads.index === 0) counters.set(Counter.addressesBanned, this.addresses.countBanned())
    this.#pool.trim()
    this.#registry.sweep()
  }

  /**
   * A part of the clients that are here: of the first `before` connections, the last ones. With the `next` of each part, all
   * are told of that were here from the first call to the last; one may be told of twice.
   *
   * @param wallMs the Unix time at which `now` was 0
   */
  clientsBefore(before: number, wallMs: number): ClientPart {
    const { sessions, start } = this.#sessions.before(before, CLIENTS_PER_PART)
    // In a drain, a client that leaves is in the table no more, and here until it ends its side.
    const isListed = ({ key, peer }: Session): boolean =>
      this.#handOff.isDraining || (peer !== undefined && this.#table.find(key, 0) === peer)
    return clientPart(sessions, { next: start, nowMs: this.#parts.now(), wallMs, isListed })
  }

  /** Ends the sessions that `fits` selects; returns how many. */
  endWhere(fits: (session: Session) => boolean, reason: EndReason): number {
    const ending = this.#sessions.where(fits)
    for (const session of ending) session.end(reason)
    return ending.length
  }

  /** The same for sessions that may be thousands and need not end at once: packets do not wait for all of them. */
  endInTurns(fits: (session: Session) => boolean, reason: EndReason): void {
    for (const session of this.#sessions.where(fits)) this.#ends.run(() => session.end(reason))
  }

  /** Ends the sessions of a client, which are none of a sibling. */
  endKey(key: Uint8Array, reason: EndReason): void {
    this.endWhere((session) => !session.isMesh && bytesEqual(session.key, key), reason)
  }

  /**
   * Ends up to `countMax` sessions of clients whose ideal node is one of `nodes`, which can be reached again: the
   * clients reconnect there.
   */
  rebalance(nodes: ReadonlySet<string>, countMax: number): void {
    if (nodes.size === 0 || this.#handOff.isDraining) return
    const misplaced = this.#sessions.where(({ identity }) => nodes.has(identity?.idealNode ?? ''))
    for (const session of misplaced.slice(0, countMax)) session.end(EndReason.rebalanced)
  }

  /** Moves all clients away, within the times given; `onDone` is called once, when no client is left. */
  drain(times: DrainTimes, onDone: () => void): void {
    const { now, later, random } = this.#parts
    const handOff = this.#handOff
    new RelayDrain({ sessions: this.#sessions, handOff, now, later, random, onDone }).begin(times)
  }

  /** A sibling drains for so long: what this relay's clients send to keys that leave it is held for a moment. */
  siblingDrains(forMs: number): void {
    this.#handOff.siblingDrains(forMs)
  }

  /**
   * Another run of this relay drains for so long at most: its clients come back to this one. Siblings are told, so that they
   * hold packets for those clients, too; siblings that log in later are told then.
   */
  otherRunDrains(forMs: number): void {
    this.#handOff.otherRunDrains(forMs)
    for (const sibling of this.#sessions.where(({ isEstablished, isMesh }) => isEstablished && isMesh))
      sibling.tell(restartingFrame(forMs, 0))
  }

  /** Sends this to the sibling with that key, over a session of its own; a sibling that has none here gets nothing. */
  answerSibling(key: Uint8Array, state: Uint8Array): void {
    const [session] = this.#sessions.where(
      (one) => one.isEstablished && one.isMesh && bytesEqual(one.key, key),
    )
    session?.tell(relayStateFrame(state))
  }

  /** These limits from now on, for sessions that there are, too. A client that is held back for its rate is read at once if the rate is raised. */
  setLimits(limits: SessionLimits): void {
    this.#context.limits = limits
    this.addresses.setRules(limits.addresses)
    this.#memoryBudget.bytesMax = limits.waitingBytesMax
    const nowMs = this.#parts.now()
    this.#tenants.setRelayBudget(limits.budgets.relay, nowMs)
    for (const session of this.#sessions.where(() => true)) session.limitsChanged(nowMs)
  }

  /** What admission goes by has changed: it is asked again about the clients that are here, but for those of an open relay. */
  recheckAdmission(): void {
    this.#rechecks.hasten()
  }

  /** Who may log in from now on; sessions that there are stay. */
  setLoginPolicy(admission: Admission, disallowedAppNames: readonly string[]): void {
    this.#context.admission = admission
    this.#context.rules.disallowedAppNames = new Set(disallowedAppNames)
  }

  /** Of whom data packets are dropped from now on: of all clients, or of those of the tenants with these numbers. */
  setDiscoOnly(areAll: boolean, tenants: ReadonlySet<number>): void {
    this.#tenants.setDiscoOnly(areAll, tenants)
    this.#forwarder.someDiscoOnly = this.#tenants.someDiscoOnly
  }

  /** Siblings whose ClosePeer counts from now on. */
  setKicksFrom(kicksFrom: KicksFrom): void {
    this.#kicksFrom = kicksFrom
  }

  /** These tenants share what this relay can carry from now on, and are kept apart if they are to be; undefined: there are none. */
  setTenants(roster: TenantRoster | undefined): void {
    const nowMs = this.#parts.now()
    this.#tenants.use(roster, nowMs)
    this.#table.tenantsChanged()
    for (const session of this.#sessions.where(() => true)) session.limitsChanged(nowMs)
  }

  /** Siblings log in with these keys from now on; sessions that did so with another one are ended. */
  setMeshKeys(keys: readonly Uint8Array[]): void {
    this.#context.rules.meshKeys = keys
    this.endWhere(({ identity }) => {
      const shown = identity?.meshKey
      return shown !== undefined && !keys.some((key) => bytesEqual(key, shown))
    }, EndReason.meshKeyRevoked)
  }

  /** An outbox for the packets to one sibling. */
  siblingOutbox(limits: OutboxLimits): SiblingOutbox {
    const { pool, memoryBudget, counters } = this.#context
    return Outbox.forSibling({ pool, memoryBudget, counters, limits, taker: this.#forwarder })
  }

  /** Reads what other threads have written. To be called before bytes are read: packets in them have arrived now. */
  readonly #readThreads = (): void => {
    this.#forwarder.lookAtClock()
    this.#table.readThreads()
  }

  /** Counts the client's round trip, where the link knows it. Siblings are not clients, and measure theirs themselves. */
  readonly #sampleRoundTrip = (session: Session): void => {
    if (!session.isEstablished || session.isMesh) return
    const { roundTripSeconds } = session.wire
    if (roundTripSeconds <= 0) return
    this.#parts.counters.observe('roundTrip', roundTripSeconds)
    this.#parts.observer.roundTripRead(session, roundTripSeconds)
  }

  #makeContext(seed: number): SessionContext {
    const { counters, limits, admission, observer, now, random, later } = this.#parts
    return {
      counters,
      limits,
      admission,
      observer,
      rechecks: this.#rechecks,
      now,
      random,
      later,
      pool: this.#pool,
      memoryBudget: this.#memoryBudget,
      rules: {
        boxes: new BoxMemory(new BoxSecret(this.#parts.nodeKey.privateKey), seed),
        meshKeys: this.#parts.meshKeys,
        instance: this.#parts.instance,
        disallowedAppNames: new Set(this.#parts.disallowedAppNames),
      },
      registry: this.#registry,
      forwarder: this.#forwarder,
      handOff: this.#handOff,
      tenants: this.#tenants,
      addresses: this.addresses,
      flushQueue: this.flushQueue,
      sessions: this.#sessions,
      readThreads: this.#readThreads,
      logins: new TurnQueue({
        perTurnMax: Infinity,
        perTurnMs: LOGIN_MS_PER_TURN,
        shareOfTurn: LOGIN_SHARE_OF_TURN,
        now,
        nextTurn: (callback) => later(0, callback),
      }),
    }
  }
}
