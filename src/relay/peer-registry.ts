// Who is here: every key connected to this relay, on this thread or another, and the siblings' sessions that
// watch it change. Holds the policy for several sessions with one key: whoever was active last receives. Of the keys
// that are not here it knows those that packets come from or go to, by the routes that it is told of. No packets pass
// through; `forward.ts` looks keys up here.
//
// Contract: events reach watchers in the order in which they happened. A key is reported gone only when its
// last session in the whole relay has ended, as far as the other threads have said by then.

import { bytesEqual, copyOf } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { peerGoneFrame } from '#protocol/frames.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import { HomeChanges } from './home-changes.ts'
import { LOCAL, Peer, type Elsewhere } from './peer.ts'
import type { Observer, Routes, ForwardTarget } from './ports.ts'
import type { Session } from './session.ts'

/** A sibling asks once, and again if it lost count. Five bytes that have everybody told of are no way to ask for more. */
const LISTS_PER_SWEEP = 4

/** Tells the relay's other threads what happened on this one, and hears what happened there. */
export interface OtherThreads {
  /** This thread's number. */
  readonly index: number
  /** The next number of the relay's common count of activity. */
  nextClaim(): number
  present(presentFrame: Uint8Array, claim: number): void
  claim(key: Uint8Array, claim: number): void
  gone(key: Uint8Array): void
  home(key: Uint8Array, isHome: boolean): void
  /** Hears all that the others have said until now. False if there are none, or this is already under way. */
  drain(): boolean
  readonly isDraining: boolean
}

/** What a peer adds to the gauges, so that the difference can be taken when it changes. */
interface Counted {
  readonly keys: number
  readonly duplicateKeys: number
  readonly duplicateSessions: number
  /** No gauge: known on every thread. */
  readonly routed: number
}

export interface PeerRegistryParts {
  readonly counters: Counters
  readonly announcer: OtherThreads
  readonly routes: Routes
  readonly observer: Pick<Observer, 'homeChanged'>
  /** This relay's public key: a watcher with it is the relay itself and hears nothing. */
  readonly ownKey: Uint8Array
  /** 32 random bits for the table's hash. */
  readonly seed: number
}

export class PeerRegistry {
  readonly #counters: Counters
  readonly #announcer: OtherThreads
  readonly #routes: Routes
  readonly #observer: Pick<Observer, 'homeChanged'>
  readonly #ownKey: Uint8Array
  readonly #table: KeyTable<Peer>
  /** Siblings that are told of every key, and those that are told of home keys. */
  readonly #watchers = new Set<Session>()
  readonly #homeWatchers = new Set<Session>()
  /** How often each was told of everybody since the last sweep, and who asked for it more often. */
  readonly #listed = new Map<Session, number>()
  #toList = new Set<Session>()
  readonly #homes = new HomeChanges({ changed: (peer) => this.#homeChanged(peer) })
  /** Known on a thread that is telling of everybody just now, and not told of yet; by thread. */
  readonly #doubted = new Map<number, Set<Peer>>()
  /** Keys without a session, as far as is known; another thread may be about to say that it has one. */
  #leaving = new Set<Peer>()
  /** Keys that are here and at a sibling, too. */
  #routedHere = 0
  /** Keys that were away and have no route any more. */
  #lost = new Set<Peer>()

  constructor(parts: PeerRegistryParts) {
    this.#counters = parts.counters
    this.#announcer = parts.announcer
    this.#routes = parts.routes
    this.#observer = parts.observer
    this.#ownKey = parts.ownKey
    this.#table = new KeyTable(parts.seed)
  }

  /** Keys that siblings have and this relay has not. */
  get awayCount(): number {
    return this.#routes.size - this.#routedHere
  }

  /** Keys dealt with: those that are here, on whichever thread, and those away that packets came from or went to. */
  get size(): number {
    return this.#table.size
  }

  /** The peer whose key is bytes[at, at + 32), if it is dealt with already. */
  find(bytes: Uint8Array, at: number): Peer | undefined {
    return this.#table.find(bytes, at)
  }

  /** The same, or a peer that is away and has a route. */
  locate(bytes: Uint8Array, at: number): Peer | undefined {
    const known = this.#table.find(bytes, at)
    if (known !== undefined) return known
    const route = this.#routes.find(bytes, at)
    return route === undefined ? undefined : this.#list(copyOf(bytes, at, at + KEY_BYTES), route)
  }

  /** The way to the key bytes[at, at + 32) has changed; undefined: no sibling has it any more. */
  routeChanged(bytes: Uint8Array, at: number, route: ForwardTarget | undefined): void {
    const peer = this.#table.find(bytes, at)
    if (peer === undefined) return
    const before = this.#count(peer)
    peer.route = route
    if (peer.registrations > 0) return this.#recount(peer, before)
    if (route !== undefined) return
    this.#lost.add(peer)
    if (!this.#announcer.isDraining) this.#settle()
  }

  /** Adds a session that has proven its key; it receives from now on, before its older sessions. */
  register(session: Session): Peer {
    const peer = this.#find(session.key)
    const before = this.#count(peer)
    if (peer.registrations > 0 && !session.isMesh) this.#counters.add(Counter.duplicatesTotal, 1)
    // Made to measure: most keys have one session for ever, and an array that grows leaves room for sixteen more.
    peer.sessions = peer.sessions.concat(session)
    session.claim = this.#announcer.nextClaim()
    this.#changed(peer, before)
    const { presentFrame } = session
    this.#announcer.present(presentFrame, session.claim)
    this.#tell(this.#watchers, presentFrame)
    return peer
  }

  /** Removes a session; the key's other sessions take over, or it is gone. */
  unregister(session: Session, peer: Peer): void {
    if (this.#watchers.delete(session) || this.#homeWatchers.delete(session))
      this.#counters.add(Counter.watchersCurrent, -1)
    for (const other of session.heard ?? []) other.forgetHearer(session)
    session.heard = undefined
    const before = this.#count(peer)
    peer.sessions = peer.sessions.filter((one) => one !== session)
    const heir = peer.sessions.at(-1)
    if (heir === undefined) this.#announcer.gone(peer.key)
    else if (peer.elsewhere.length > 0) this.#announcer.claim(peer.key, heir.claim)
    this.#changed(peer, before)
    this.homeNoted(peer)
    if (!this.#announcer.isDraining) this.#settle()
  }

  /** Takes in what other threads have said. */
  hear(): void {
    if (this.#announcer.drain()) this.#settle()
  }

  /** A frame arrived on a session whose key has others: it is the active one from now on. */
  noteActivity(session: Session, peer: Peer): void {
    const { active } = peer
    if (active === session && peer.thread === LOCAL) return
    if (active !== session) peer.sessions = movedToEnd(peer.sessions, session)
    if (peer.thread === LOCAL && active !== undefined) {
      // The other threads know that it is here; which of the sessions it is does not concern them.
      session.claim = active.claim
    } else {
      session.claim = this.#announcer.nextClaim()
      this.#announcer.claim(peer.key, session.claim)
    }
    peer.elect()
  }

  /** Subscribes a privileged session: first everybody who is here, itself included, then every change. */
  watch(session: Session): void {
    if (bytesEqual(session.key, this.#ownKey)) return
    const listed = this.#listed.get(session) ?? 0
    if (listed === LISTS_PER_SWEEP) return void this.#toList.add(session)
    this.#listed.set(session, listed + 1)
    const wantsHomesOnly = session.member?.wantsHomesOnly === true
    for (const peer of this.#table) {
      const frame = wantsHomesOnly && !peer.isHome ? undefined : presentFrameOf(peer)
      if (frame !== undefined) session.tell(frame)
    }
    // Who does not take so much at once has just been ended.
    if (!session.isEstablished) return
    const watchers = wantsHomesOnly ? this.#homeWatchers : this.#watchers
    if (!watchers.has(session)) this.#counters.add(Counter.watchersCurrent, 1)
    watchers.add(session)
  }

  /** What the sessions of a peer on this thread note as their home may have changed. */
  homeNoted(peer: Peer): void {
    this.#homes.noted(peer)
  }

  /** To be called about twice a second: tells what has not been told at once. */
  sweep(): void {
    this.#homes.sweep()
    this.#listed.clear()
    const toList = this.#toList
    this.#toList = new Set()
    for (const session of toList) if (session.isEstablished) this.watch(session)
  }

  #homeChanged(peer: Peer): void {
    this.#observer.homeChanged(peer.key, peer.isHomeHere)
    // That the last session has ended says as much.
    if (peer.sessions.length > 0) this.#announcer.home(peer.key, peer.isHomeHere)
    this.#electHome(peer)
  }

  /** The same on another thread. */
  homeElsewhere(thread: number, key: Uint8Array, isHome: boolean): void {
    const peer = this.#table.find(key, 0)
    const known = peer?.elsewhere.find((other) => other.thread === thread)
    if (peer === undefined || known === undefined) return
    known.isHome = isHome
    this.#electHome(peer)
  }

  #electHome(peer: Peer): void {
    const isHome = peer.isHomeHere || peer.elsewhere.some((other) => other.isHome)
    if (isHome === peer.isHome) return
    peer.isHome = isHome
    if (this.#homeWatchers.size === 0) return
    const frame = isHome ? presentFrameOf(peer) : peerGoneFrame(peer.key, GoneReason.disconnected)
    if (frame !== undefined) this.#tell(this.#homeWatchers, frame)
  }

  /** Another thread registered a session of `key`. */
  presentElsewhere(there: Elsewhere, key: Uint8Array): void {
    const peer = this.#find(key)
    const before = this.#count(peer)
    const at = peer.elsewhere.findIndex((other) => other.thread === there.thread)
    const known = peer.elsewhere[at]
    if (known === undefined) peer.elsewhere.push(there)
    else peer.elsewhere[at] = { ...there, isHome: known.isHome }
    this.#doubted.get(there.thread)?.delete(peer)
    this.#changed(peer, before)
    // Whoever is only told of once more is known to watchers.
    if (known !== undefined && bytesEqual(known.presentFrame, there.presentFrame)) return
    this.#tell(this.#watchers, there.presentFrame)
  }

  /** A session of `key` on another thread became active. */
  claimedElsewhere(thread: number, key: Uint8Array, claim: number): void {
    const peer = this.#table.find(key, 0)
    const known = peer?.elsewhere.find((other) => other.thread === thread)
    if (peer === undefined || known === undefined) return
    known.claim = claim
    peer.elect()
  }

  /** The last session of `key` on another thread ended. */
  goneElsewhere(thread: number, key: Uint8Array): void {
    const peer = this.#table.find(key, 0)
    const at = peer?.elsewhere.findIndex((other) => other.thread === thread) ?? -1
    if (peer === undefined || at < 0) return
    const before = this.#count(peer)
    peer.elsewhere.splice(at, 1)
    this.#doubted.get(thread)?.delete(peer)
    this.#changed(peer, before)
    this.#electHome(peer)
  }

  /** Another thread tells of everybody who is there, since it was started or because this one has not listened. */
  introducing(thread: number): void {
    this.#doubted.set(thread, new Set(this.#on(thread)))
  }

  /** That was everybody: who was there and has not been told of again has left meanwhile. */
  introduced(thread: number): void {
    const gone = this.#doubted.get(thread) ?? []
    this.#doubted.delete(thread)
    for (const { key } of gone) this.goneElsewhere(thread, key)
  }

  /** A thread has ended, and what it said until then has been heard: all its sessions are gone. */
  forgetThread(thread: number): void {
    this.#doubted.delete(thread)
    for (const { key } of this.#on(thread)) this.goneElsewhere(thread, key)
    this.#settle()
  }

  /** The keys that are connected to this thread. */
  connectedHere(): readonly Peer[] {
    return [...this.#table].filter((peer) => peer.sessions.length > 0)
  }

  #on(thread: number): readonly Peer[] {
    return [...this.#table].filter((peer) => peer.elsewhere.some((other) => other.thread === thread))
  }

  /** The known peer of `key`, or one listed anew. */
  #find(key: Uint8Array): Peer {
    const known = this.#table.find(key, 0)
    if (known !== undefined) return known
    return this.#list(key, this.#routes.find(key, 0))
  }

  #list(key: Uint8Array, route: ForwardTarget | undefined): Peer {
    const peer = new Peer(key)
    peer.route = route
    this.#table.set(key, 0, peer)
    return peer
  }

  /** Brings all that depends on a peer's registrations up to date. */
  #changed(peer: Peer, before: Counted): void {
    peer.elect()
    const isShared = peer.registrations > 1
    // Nobody sends a packet to a sibling's own key, so it does not matter which of its links is active.
    for (const session of peer.sessions) session.isShared = isShared && !session.isMesh
    this.#recount(peer, before)
    if (peer.registrations === 0) this.#leaving.add(peer)
  }

  #recount(peer: Peer, before: Counted): void {
    const after = this.#count(peer)
    this.#routedHere += after.routed - before.routed
    this.#counters.add(Counter.keysCurrent, after.keys - before.keys)
    this.#counters.add(Counter.duplicateKeys, after.duplicateKeys - before.duplicateKeys)
    this.#counters.add(Counter.duplicateSessions, after.duplicateSessions - before.duplicateSessions)
  }

  /**
   * Each key is counted by the lowest thread that holds it, each session by its own. A sibling's own key is no node's,
   * and has as many sessions as the sibling has threads.
   */
  #count(peer: Peer): Counted {
    const isClient = peer.sessions.some((session) => !session.isMesh)
    const isOurs = isClient && peer.elsewhere.every((other) => other.thread > this.#announcer.index)
    const isDuplicate = isClient && peer.registrations > 1
    return {
      keys: isOurs ? 1 : 0,
      duplicateKeys: isOurs && isDuplicate ? 1 : 0,
      duplicateSessions: isDuplicate ? peer.sessions.length : 0,
      routed: peer.registrations > 0 && peer.route !== undefined ? 1 : 0,
    }
  }

  /**
   * Declares gone from here the keys that are on no thread, and gone for good those that no sibling has either. A key that moves from one thread to another is present there before
   * it is gone here, so whoever has heard of its end and then hears everybody out knows of the move.
   */
  #settle(): void {
    while (this.#leaving.size > 0 || this.#lost.size > 0) {
      const leaving = this.#leaving
      const lost = this.#lost
      this.#leaving = new Set()
      this.#lost = new Set()
      this.#announcer.drain()
      for (const peer of leaving) {
        if (peer.registrations > 0 || peer.isGone || this.#leaving.has(peer)) continue
        if (peer.route === undefined) this.#remove(peer)
        this.#tell(this.#watchers, peerGoneFrame(peer.key, GoneReason.disconnected))
      }
      for (const peer of lost) {
        if (peer.registrations === 0 && peer.route === undefined && !peer.isGone) this.#remove(peer)
      }
    }
  }

  #remove(peer: Peer): void {
    this.#table.delete(peer.key, 0)
    peer.isGone = true
    const frame = peerGoneFrame(peer.key, GoneReason.disconnected)
    const hearers = peer.takeHearers()
    this.#counters.add(Counter.peerGoneDisconnected, hearers.length)
    for (const hearer of hearers) hearer.tell(frame)
  }

  #tell(watchers: ReadonlySet<Session>, frame: Uint8Array): void {
    if (watchers.size === 0) return
    if (frame[0] === FrameType.peerGone) this.#counters.add(Counter.peerGoneDisconnected, watchers.size)
    for (const watcher of watchers) watcher.tell(frame)
  }
}

function movedToEnd(sessions: readonly Session[], session: Session): readonly Session[] {
  const moved = sessions.slice()
  const at = moved.indexOf(session)
  moved.copyWithin(at, at + 1)
  moved[moved.length - 1] = session
  return moved
}

/** How watchers are told of a peer; undefined if it is not here. */
function presentFrameOf(peer: Peer): Uint8Array | undefined {
  if (peer.thread === LOCAL) return peer.active?.presentFrame
  return peer.elsewhere.find((other) => other.thread === peer.thread)?.presentFrame
}
