// The keys that this relay thread deals with: those connected to this relay, on this thread or another, and of those at
// siblings the ones that packets came from or went to. Finds the peer of a key, keeps the gauges of keys, and removes a
// peer whose key is nowhere any more. Sessions are added and removed by `peer-registry.ts`, presence on other threads
// by `remote-presence.ts`; `forward.ts` looks keys up here.
//
// Contract: a key is reported gone only when its last session in the whole relay has ended, as far as the other threads
// have said by then.

import { copyOf } from '#protocol/bytes.ts'
import { GoneReason } from '#protocol/frame-type.ts'
import { peerGoneFrame } from '#protocol/frames.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import type { DuplicateWatch } from './duplicate-watch.ts'
import { Departure, type HandOff } from './hand-off.ts'
import { Peer } from './peer.ts'
import type { ForwardTarget, OtherThreads, RouteListener, Routes } from './ports.ts'
import type { PresenceWatchers } from './presence-watchers.ts'
import type { Recipient } from './recipient.ts'
import type { Tenants } from './tenants.ts'

/**
 * Connections of one key on this thread that are each read as they come. A client that changes networks leaves a few dead ones,
 * which send nothing; hundreds that send are one remote that wants the share of hundreds.
 */
const SESSIONS_AT_ONCE_MAX = 8

/** What a peer adds to the gauges; the difference is taken when it changes. */
export interface PeerGauges {
  readonly keys: number
  readonly duplicateKeys: number
  readonly duplicateSessions: number
  /** Connected here and at a sibling, too. Not a counter: every thread knows it. */
  readonly routed: number
}

export interface PeerTableParts {
  readonly counters: Counters
  readonly threads: Pick<OtherThreads, 'index' | 'drain' | 'isDraining'>
  readonly routes: Routes
  readonly watchers: PresenceWatchers
  readonly handOff: HandOff
  readonly tenants: Tenants
  readonly duplicates: DuplicateWatch
  /** 32 random bits for the table's hash. */
  readonly seed: number
}

export class PeerTable implements RouteListener {
  readonly #parts: PeerTableParts
  readonly #table: KeyTable<Peer>
  /** Keys that are here and at a sibling, too. */
  #routedHere = 0
  /** Keys without a session, as far as is known; another thread may be about to say that it has one. */
  #leaving = new Set<Peer>()
  /** Keys that were at a sibling and have no route any more. */
  #routeless = new Set<Peer>()

  constructor(parts: PeerTableParts) {
    this.#parts = parts
    this.#table = new KeyTable(parts.seed)
  }

  get size(): number {
    return this.#table.size
  }

  /** Keys that siblings have and this relay has not. */
  get countAtSiblings(): number {
    return this.#parts.routes.size - this.#routedHere
  }

  [Symbol.iterator](): Iterator<Peer> {
    return this.#table[Symbol.iterator]()
  }

  /** The peer whose key is bytes[at, at + 32), if it is in the table. */
  find(bytes: Uint8Array, at: number): Peer | undefined {
    return this.#table.find(bytes, at)
  }

  /** The same; a key that is not in the table and has a route is added. */
  locate(bytes: Uint8Array, at: number): Peer | undefined {
    const known = this.#table.find(bytes, at)
    if (known !== undefined) return known
    const route = this.#parts.routes.find(bytes, at)
    return route === undefined ? undefined : this.#add(copyOf(bytes, at, at + KEY_BYTES), route)
  }

  /** The same; any key that is not in the table is added. */
  findOrAdd(key: Uint8Array): Peer {
    const known = this.#table.find(key, 0)
    if (known !== undefined) return known
    return this.#add(key, this.#parts.routes.find(key, 0))
  }

  routeChanged(bytes: Uint8Array, at: number, route: ForwardTarget | undefined): void {
    const { handOff } = this.#parts
    // A key that nobody has sent to yet is expected back as well.
    const isExpected = route === undefined && handOff.hasDrainingSibling
    const key = isExpected ? copyOf(bytes, at, at + KEY_BYTES) : undefined
    const peer = this.#table.find(bytes, at) ?? (key && this.#add(key, undefined))
    if (peer === undefined) return
    const before = this.gaugesOf(peer)
    const former = peer.route
    peer.route = route ?? (peer.registrations === 0 ? handOff.leftSibling(peer, former) : undefined)
    if (former instanceof Departure) handOff.release(former)
    if (peer.registrations > 0) return this.#updateGauges(peer, before)
    if (peer.route !== undefined) return
    this.#routeless.add(peer)
    this.settle()
  }

  /** The keys that are connected to this thread. */
  connectedHere(): readonly Peer[] {
    return [...this.#table].filter((peer) => peer.sessions.length > 0)
  }

  /** The keys that are connected to another thread. */
  connectedTo(thread: number): readonly Peer[] {
    return [...this.#table].filter((peer) => peer.on(thread) !== undefined)
  }

  /** What `peer` adds to the gauges now; to be given to `changed`. */
  gaugesOf(peer: Peer): PeerGauges {
    // Each key is counted by the lowest thread that holds it, each session by its own. A sibling's own key is no
    // node's, and has as many sessions as the sibling has threads.
    const isClient = peer.sessions.some((session) => !session.isMesh)
    const isOurs = isClient && peer.onOtherThreads.every((other) => other.thread > this.#parts.threads.index)
    const isDuplicate = isClient && peer.registrations > 1
    return {
      keys: isOurs ? 1 : 0,
      duplicateKeys: isOurs && isDuplicate ? 1 : 0,
      duplicateSessions: isDuplicate ? peer.sessions.length : 0,
      routed: peer.registrations > 0 && peer.route !== undefined ? 1 : 0,
    }
  }

  /** Updates everything that depends on a peer's registrations, after they have changed. */
  changed(peer: Peer, before: PeerGauges): void {
    peer.elect()
    const isShared = peer.registrations > 1
    // No client sends packets to a sibling's own key, so it does not matter which of its links is active.
    const isCrowd = peer.sessions.length > SESSIONS_AT_ONCE_MAX
    for (const session of peer.sessions) {
      if (session.isMesh) continue
      session.isShared = isShared
      session.wire.readInTurn(isCrowd)
    }
    const { handOff } = this.#parts
    const away = peer.registrations > 0 && peer.route instanceof Departure ? peer.route : undefined
    if (away !== undefined) peer.route = undefined
    this.#updateGauges(peer, before)
    if (away !== undefined) handOff.release(away)
    this.#parts.duplicates.changed(peer)
    if (peer.registrations > 0) return
    this.#leaving.add(peer)
    peer.route ??= handOff.leftHere(peer)
  }

  /** Reads what other threads have written. */
  readThreads(): void {
    if (this.#parts.threads.drain()) this.settle()
  }

  /**
   * Declares gone from here the keys that are on no thread, and gone for good those that no sibling has either. A key
   * that moves to another thread is present there before it is gone here, so a thread that has read of its end, and
   * then reads all that the others have written, knows of the move. While that reading is under way nothing is done:
   * its caller settles afterwards.
   */
  settle(): void {
    if (this.#parts.threads.isDraining) return
    while (this.#leaving.size > 0 || this.#routeless.size > 0) {
      const leaving = this.#leaving
      const routeless = this.#routeless
      this.#leaving = new Set()
      this.#routeless = new Set()
      this.#parts.threads.drain()
      for (const peer of leaving) {
        if (peer.registrations > 0 || peer.isGone || this.#leaving.has(peer)) continue
        if (peer.route === undefined) this.#remove(peer)
        this.#parts.watchers.tellGone(peer.key)
      }
      for (const peer of routeless) {
        if (peer.registrations === 0 && peer.route === undefined && !peer.isGone) this.#remove(peer)
      }
    }
  }

  /** The key was expected back and did not come. */
  giveUp(peer: Peer): void {
    if (!(peer.route instanceof Departure)) return
    peer.route = undefined
    this.#remove(peer)
  }

  /** Keys may be of other tenants than before. As far as a session may know now, keys of other tenants have left. */
  tenantsChanged(): void {
    const { tenants } = this.#parts
    // A session that does not take so much is ended, and its peer leaves the table meanwhile.
    const peers = [...this.#table]
    for (const peer of peers) peer.tenant = tenants.of(peer.key, 0)
    for (const peer of peers)
      this.#tellGone(peer, (recipient) => tenants.of(recipient.key, 0) !== peer.tenant)
  }

  #add(key: Uint8Array, route: ForwardTarget | undefined): Peer {
    const peer = new Peer(key)
    peer.route = route
    peer.tenant = this.#parts.tenants.of(key, 0)
    this.#table.set(key, 0, peer)
    return peer
  }

  /** The key is nowhere any more; sessions that were given its packets are told. */
  #remove(peer: Peer): void {
    this.#table.delete(peer.key, 0)
    peer.isGone = true
    this.#tellGone(peer)
  }

  /** Tells sessions that were given packets of the peer that it has left. */
  #tellGone(peer: Peer, fits?: (recipient: Recipient) => boolean): void {
    const recipients = peer.takeRecipients(fits)
    if (recipients.length === 0) return
    const frame = peerGoneFrame(peer.key, GoneReason.disconnected)
    this.#parts.counters.add(Counter.peerGoneDisconnected, recipients.length)
    for (const recipient of recipients) recipient.tell(frame)
  }

  #updateGauges(peer: Peer, before: PeerGauges): void {
    const { counters } = this.#parts
    const after = this.gaugesOf(peer)
    this.#routedHere += after.routed - before.routed
    counters.add(Counter.keysCurrent, after.keys - before.keys)
    counters.add(Counter.duplicateKeys, after.duplicateKeys - before.duplicateKeys)
    counters.add(Counter.duplicateSessions, after.duplicateSessions - before.duplicateSessions)
  }
}
