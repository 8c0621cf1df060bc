// One relay thread's share of the relay: its sessions, its registry, its way to the other threads. Takes
// links from the transport and gives each a session; does nothing by itself: the transport calls `flush`
// when a turn of the loop has been read, `sweep` a few times a second and `hear` when another thread rings.

import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { bytesEqual, concatBytes, readU32 } from '#protocol/bytes.ts'
import { serverKeyFrame } from '#protocol/handshake.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { switchingProtocols } from '#protocol/upgrade.ts'
import { MemoryBudget } from './memory-budget.ts'
import { Counter, type Counters } from './counters.ts'
import { PeerRegistry } from './peer-registry.ts'
import { DropReason } from './drop-reason.ts'
import { EndReason } from './end-reason.ts'
import { Forwarder } from './forward.ts'
import { ThreadLinks, type ThreadLink, type ThreadMemory } from '#interthread/thread-links.ts'
import type { ThreadEvents } from '#interthread/thread-frames.ts'
import { Outbox, type OutboxLimits } from './outbox.ts'
import { Packet } from './packet.ts'
import type {
  Admission,
  Flushable,
  Link,
  LinkListener,
  Observer,
  Routes,
  ForwardTarget,
  SiblingOutbox,
} from './ports.ts'
import { SessionList } from './session-list.ts'
import type { SessionContext, SessionScheduler } from './session-context.ts'
import { Session } from './session.ts'
import type { SessionLimits } from './session-limits.ts'
import { TurnQueue } from './turn-queue.ts'

/** A login takes a third of a millisecond, one that is as large as may be two. Packets wait no longer than that. */
const LOGIN_MS_PER_TURN = 2
export interface RelayParts {
  readonly nodeKey: KeyPair
  /** Each lets a sibling in. */
  readonly meshKeys: readonly Uint8Array[]
  readonly disallowedAppNames: readonly string[]
  /** Tells this run of the relay from any other, to siblings; undefined: they are not told. */
  readonly instance?: string | undefined
  readonly limits: SessionLimits
  readonly counters: Counters
  readonly admission: Admission
  readonly observer: Observer
  readonly routes: Routes
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Asks for one call of `flush` when the current turn of the loop has been read. */
  readonly flushLater: () => void
  /** Undefined: this thread is the whole relay. */
  readonly threads: ThreadMemory | undefined
}

/** What a connection asked for. */
export interface Arrival {
  readonly link: Link
  /** Answer with `101` before ServerKey. */
  readonly wantsAnswer: boolean
  /** The client's `Ideal-Node`; empty when it is on its ideal node. */
  readonly idealNode: string
}

export class Relay implements SessionScheduler, ThreadEvents {
  readonly threadLinks: ThreadLinks
  readonly #parts: RelayParts
  readonly #registry: PeerRegistry
  readonly #forwarder: Forwarder
  readonly #sessionContext: SessionContext
  readonly #serverKey: Uint8Array
  readonly #answerAndServerKey: Uint8Array
  readonly #pool = new BufferPool()
  readonly #memoryBudget: MemoryBudget
  readonly #sessions: SessionList
  #due: Flushable[] = []
  #isFlushAsked = false
  #isHeld = false
  #dueAfterRound: Flushable[] = []
  #isFlushComing = false

  constructor(parts: RelayParts) {
    this.#parts = parts
    this.#memoryBudget = new MemoryBudget({
      bytesMax: parts.limits.waitingBytesMax,
      pool: this.#pool,
      counters: parts.counters,
    })
    const isMemoryShort = (): boolean => this.#memoryBudget.share < 1
    this.#sessions = new SessionList({ now: parts.now, later: parts.later, isMemoryShort })
    this.threadLinks =
      parts.threads === undefined
        ? ThreadLinks.none()
        : new ThreadLinks(parts.threads, {
            listener: () => this,
            everybody: () => this.#registry.connectedHere(),
            wake: () => this.wake(),
            now: parts.now,
          })
    this.#registry = new PeerRegistry({
      counters: parts.counters,
      announcer: this.threadLinks,
      routes: parts.routes,
      observer: parts.observer,
      ownKey: parts.nodeKey.publicKey,
      seed: readU32(parts.random(4), 0),
    })
    this.#forwarder = new Forwarder({
      registry: this.#registry,
      threads: this.threadLinks,
      routes: parts.routes,
      counters: parts.counters,
      now: parts.now,
    })
    this.#serverKey = serverKeyFrame(parts.nodeKey.publicKey)
    this.#answerAndServerKey = concatBytes(switchingProtocols(parts.nodeKey.publicKey), this.#serverKey)
    this.#sessionContext = this.#makeSessionContext()
  }

  /** Keys connected to this relay, on whichever thread. */
  get keyCount(): number {
    return this.#registry.size
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** Bytes of memory lent to sessions for parts of frames and for what waits to leave. */
  get bytesHeld(): number {
    return this.#pool.lentBytes
  }

  /** Begins a session on a link; what the link receives goes to the listener returned. */
  accept(arrival: Arrival): LinkListener {
    const hello = arrival.wantsAnswer ? this.#answerAndServerKey : this.#serverKey
    const greeting = { hello, idealNode: arrival.idealNode, isFastStart: !arrival.wantsAnswer }
    const session = new Session(arrival.link, greeting, this.#sessionContext)
    this.#sessions.add(session)
    return session
  }

  /** Writes all that this turn of the loop has put into outboxes, once per session. */
  flush(): void {
    // What other threads wrote during the turn leaves with the rest. They are woken last: on a core that threads share, who
    // is woken takes over at once, before this turn is done.
    this.#isFlushAsked = true
    this.hear()
    this.#isFlushAsked = false
    this.#memoryBudget.look()
    this.flushSoFar()
    this.threadLinks.flush()
    if (this.threadLinks.hasBacklog) this.#flushAgain()
    if (!this.threadLinks.fallAsleep()) this.wake()
  }

  /** Until `release`, what is to be written waits for it. Not for a relay of several threads: they end turns together. */
  hold(isInRound: boolean): void {
    this.#isHeld = this.threadLinks.count === 0
    this.threadLinks.isInRound = isInRound
  }

  /** Writes at once what has been put into outboxes since `hold`. */
  release(): void {
    this.#isHeld = false
    this.threadLinks.isInRound = false
    if (this.#due.length > 0 && !this.#isFlushAsked) this.flush()
  }

  /** Writes for siblings, too: a link to one carries what came of many in one go. Who dozes was not rung for. */
  endRound(): void {
    this.hear()
    const due = this.#dueAfterRound
    this.#dueAfterRound = []
    for (const one of due) one.flush()
  }

  setPolling(isPolling: boolean): void {
    this.threadLinks.setPolling(isPolling)
  }

  /** Writes what has been put into outboxes so far, in the middle of a turn. */
  flushSoFar(): void {
    const due = this.#due
    this.#due = []
    for (const one of due) one.flush()
  }

  /** Reads what other threads have written, before bytes of a session are. */
  hear(): void {
    this.#forwarder.lookAtClock()
    this.#registry.hear()
  }

  /** Another thread has been started: it is reached from now on, and told who is connected here. */
  threadStarted(link: ThreadLink): void {
    this.threadLinks.link(link)
    this.threadLinks.introduceTo(link.thread)
  }

  /** Another thread has ended, and with it its sessions; what was written for them and not read is dropped. */
  threadEnded(thread: number): void {
    this.hear()
    const packet = new Packet()
    this.threadLinks.unlink(thread, (buffer, start, end) => {
      packet.set(buffer, start, start + 2 * KEY_BYTES, end)
      this.#parts.counters.countDrop(DropReason.goneDisconnected, packet.kind, packet.packetBytes)
    })
    this.#registry.forgetThread(thread)
  }

  /** Does what is due by time, for one part of the sessions at each call. */
  sweep(): void {
    this.#parts.counters.add(Counter.sweeps, 1)
    this.#memoryBudget.look()
    if (this.threadLinks.index === 0) this.#parts.counters.set(Counter.keysAway, this.#registry.awayCount)
    if (!this.#sessions.sweep()) return
    this.#pool.trim()
    this.#registry.sweep()
  }

  /** Ends the sessions whose remotes fit; returns how many. */
  endWhere(fits: (session: Session) => boolean, reason: EndReason): number {
    const ending = this.#sessions.where(fits)
    for (const session of ending) session.end(reason)
    return ending.length
  }

  // ── what the mesh asks ──

  /**
   * Ends up to `countMax` sessions of clients that would rather be at one of these nodes, which are there: they come
   * back at their first choice.
   */
  rebalance(nodes: ReadonlySet<string>, countMax: number): void {
    if (nodes.size === 0) return
    const misplaced = this.#sessions.where(({ member }) => nodes.has(member?.idealNode ?? ''))
    for (const session of misplaced.slice(0, countMax)) session.end(EndReason.rebalanced)
  }

  /** Other keys let siblings in from now on; who came in with one that does no more is ended. */
  setMeshKeys(keys: readonly Uint8Array[]): void {
    this.#sessionContext.rules.meshKeys = keys
    this.endWhere(({ member }) => {
      const shown = member?.meshKey
      return shown !== undefined && !keys.some((key) => bytesEqual(key, shown))
    }, EndReason.meshKeyRevoked)
  }

  /** The way to the key bytes[at, at + 32) has changed; undefined: no sibling has it any more. */
  routeChanged(bytes: Uint8Array, at: number, route: ForwardTarget | undefined): void {
    this.#registry.routeChanged(bytes, at, route)
  }

  /** What is to leave for a sibling. */
  siblingOutbox(limits: OutboxLimits): SiblingOutbox {
    const { pool, memoryBudget, counters } = this.#sessionContext
    return Outbox.forSibling({ pool, memoryBudget, counters, limits })
  }

  // ── what sessions ask ──

  flushSoon(one: Flushable): void {
    this.#due.push(one)
    this.wake()
  }

  /** The same for one to whom many send: when everybody has been looked at whose turn it is, and never before. */
  flushAfterRound(one: Flushable): void {
    if (this.threadLinks.isInRound) {
      this.#dueAfterRound.push(one)
      return
    }
    this.#due.push(one)
    this.#flushLater()
  }

  /** Something waits to be written, here or at a neighbour. */
  wake(): void {
    if (!this.#isHeld) this.#flushLater()
  }

  #flushLater(): void {
    if (this.#isFlushAsked) return
    this.#isFlushAsked = true
    this.#parts.flushLater()
  }

  ended(session: Session): void {
    this.#sessions.delete(session)
  }

  closePeerEverywhere(key: Uint8Array): void {
    this.closePeer(key)
    this.threadLinks.closePeer(key)
  }

  // ── what other threads say ──

  presentElsewhere(thread: number, key: Uint8Array, presentFrame: Uint8Array, claim: number): void {
    this.#registry.presentElsewhere({ thread, claim, presentFrame, isHome: false }, key)
  }

  claimedElsewhere(thread: number, key: Uint8Array, claim: number): void {
    this.#registry.claimedElsewhere(thread, key, claim)
  }

  goneElsewhere(thread: number, key: Uint8Array): void {
    this.#registry.goneElsewhere(thread, key)
  }

  homeElsewhere(thread: number, key: Uint8Array, isHome: boolean): void {
    this.#registry.homeElsewhere(thread, key, isHome)
  }

  introducing(thread: number): void {
    this.#registry.introducing(thread)
  }

  introduced(thread: number): void {
    this.#registry.introduced(thread)
  }

  packet(buffer: Buffer, start: number, end: number): void {
    this.#forwarder.fromThread(buffer, start, end)
  }

  /** Ends this thread's sessions of `key`. */
  closePeer(key: Uint8Array): void {
    const peer = this.#registry.find(key, 0)
    for (const session of peer?.sessions ?? []) session.end(EndReason.closedBySibling)
  }

  /** A neighbour had no room for news: tries again, and again from there, until it has. */
  #flushAgain(): void {
    if (this.#isFlushComing) return
    this.#isFlushComing = true
    this.#parts.later(1, () => {
      this.#isFlushComing = false
      this.flush()
    })
  }

  #makeSessionContext(): SessionContext {
    const { counters, limits, admission, observer, now, random, later } = this.#parts
    return {
      counters,
      limits,
      admission,
      observer,
      now,
      random,
      later,
      pool: this.#pool,
      memoryBudget: this.#memoryBudget,
      rules: {
        secret: new BoxSecret(this.#parts.nodeKey.privateKey),
        meshKeys: this.#parts.meshKeys,
        instance: this.#parts.instance,
        disallowedAppNames: new Set(this.#parts.disallowedAppNames),
      },
      registry: this.#registry,
      forwarder: this.#forwarder,
      scheduler: this,
      hear: () => this.hear(),
      logins: new TurnQueue({
        perTurnMax: Infinity,
        perTurnMs: LOGIN_MS_PER_TURN,
        now,
        nextTurn: (callback) => later(0, callback),
      }),
    }
  }
}
