// The watchers of presence: siblings' sessions that are told which keys are connected to this relay. A sibling of this
// region is told of every key, one of another region of home keys only. Lists and fans out; which presence changes is
// `peer-registry.ts` for this thread's sessions and `remote-presence.ts` for those of other threads.
//
// Contract: a watcher is told of events in the order in which they happened.

import { bytesEqual } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { peerGoneFrame } from '#protocol/frames.ts'
import { Counter, type Counters } from './counters.ts'
import type { Peer } from './peer.ts'
import type { Recipient } from './recipient.ts'

/**
 * A sibling subscribes once, and again if it lost count. Five bytes that cause a list of all keys must not become a way
 * to ask for more.
 */
const LISTS_PER_SWEEP = 4

export interface PresenceWatchersParts {
  readonly counters: Counters
  /** This relay's public key: a watcher with it is the relay itself and is told nothing. */
  readonly ownKey: Uint8Array
}

export class PresenceWatchers {
  readonly #counters: Counters
  readonly #ownKey: Uint8Array
  /** Told of every key. */
  readonly #ofKeys = new Set<Recipient>()
  /** Told of home keys. */
  readonly #ofHomes = new Set<Recipient>()
  /** How many lists each was sent since the last sweep. */
  readonly #listCounts = new Map<Recipient, number>()
  /** Asked for more lists than LISTS_PER_SWEEP: the next one follows at the sweep. */
  #deferred = new Set<Recipient>()

  constructor(parts: PresenceWatchersParts) {
    this.#counters = parts.counters
    this.#ownKey = parts.ownKey
  }

  /** Subscribes a sibling: first to a list of `peers`, itself included, then to every change. */
  watch(sibling: Recipient, peers: Iterable<Peer>): void {
    if (bytesEqual(sibling.key, this.#ownKey)) return
    const listCount = this.#listCounts.get(sibling) ?? 0
    if (listCount === LISTS_PER_SWEEP) return void this.#deferred.add(sibling)
    this.#listCounts.set(sibling, listCount + 1)
    const { wantsHomesOnly } = sibling
    for (const peer of peers) {
      const frame = wantsHomesOnly && !peer.isHome ? undefined : peer.presentFrame
      if (frame !== undefined) sibling.tell(frame)
    }
    // A sibling that does not take so much at once has just been ended.
    if (!sibling.isEstablished) return
    const watchers = wantsHomesOnly ? this.#ofHomes : this.#ofKeys
    if (!watchers.has(sibling)) this.#counters.add(Counter.watchersCurrent, 1)
    watchers.add(sibling)
  }

  /** A session has ended; it may have been a watcher. */
  forget(session: Recipient): void {
    if (this.#ofKeys.delete(session) || this.#ofHomes.delete(session)) {
      this.#counters.add(Counter.watchersCurrent, -1)
    }
  }

  /** To be called about twice a second: sends the lists that were deferred. */
  sweep(peers: Iterable<Peer>): void {
    this.#listCounts.clear()
    const deferred = this.#deferred
    this.#deferred = new Set()
    for (const sibling of deferred) if (sibling.isEstablished) this.watch(sibling, peers)
  }

  /** Whether any sibling is told of every key. */
  get areTold(): boolean {
    return this.#ofKeys.size > 0
  }

  /** A key has connected: its PeerPresent frame. */
  tellPresent(frame: Uint8Array): void {
    this.#tell(this.#ofKeys, frame)
  }

  /** A key has left the relay. */
  tellGone(key: Uint8Array): void {
    if (this.#ofKeys.size > 0) this.#tell(this.#ofKeys, peerGoneFrame(key, GoneReason.disconnected))
  }

  /**
   * A drain is about to end the key's session. Siblings that hold packets meanwhile are told so before it is gone: what
   * they have forwarded by then still arrives in time.
   */
  tellLeaving({ key, isHome }: Peer): void {
    const frame = peerGoneFrame(key, GoneReason.disconnected)
    this.#tell(holders(this.#ofKeys), frame)
    if (isHome) this.#tell(holders(this.#ofHomes), frame)
  }

  /** Clients of a peer, on whichever thread, may have changed whether this relay is their home. */
  updateHome(peer: Peer): void {
    const isHome = peer.isHomeHere || peer.onOtherThreads.some((other) => other.isHome)
    if (isHome === peer.isHome) return
    peer.isHome = isHome
    if (this.#ofHomes.size === 0) return
    const frame = isHome ? peer.presentFrame : peerGoneFrame(peer.key, GoneReason.disconnected)
    if (frame !== undefined) this.#tell(this.#ofHomes, frame)
  }

  #tell(watchers: ReadonlySet<Recipient>, frame: Uint8Array): void {
    if (watchers.size === 0) return
    if (frame[0] === FrameType.peerGone) this.#counters.add(Counter.peerGoneDisconnected, watchers.size)
    for (const watcher of watchers) watcher.tell(frame)
  }
}

function holders(watchers: ReadonlySet<Recipient>): ReadonlySet<Recipient> {
  return new Set([...watchers].filter(({ holdsPackets }) => holdsPackets))
}
