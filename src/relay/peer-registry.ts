// Which sessions of this thread have which key, and what follows when that changes: other threads and watchers are
// told. Holds the policy for several sessions with one key: the one that was active last receives. This is all that a
// session may ask of the others; packets do not pass through here. The table of keys is `peer-table.ts`, sessions on
// other threads are `remote-presence.ts`.

import { isZero } from '#protocol/bytes.ts'
import { Counter, type Counters } from './counters.ts'
import type { DuplicateWatch } from './duplicate-watch.ts'
import { EndReason } from './end-reason.ts'
import { HomeChanges } from './home-changes.ts'
import { LOCAL, type Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { Observer, OtherThreads } from './ports.ts'
import type { PresenceWatchers } from './presence-watchers.ts'
import type { Recipient } from './recipient.ts'

export interface PeerRegistryParts {
  readonly table: PeerTable
  readonly watchers: PresenceWatchers
  readonly threads: OtherThreads
  readonly counters: Counters
  readonly duplicates: DuplicateWatch
  readonly observer: Pick<Observer, 'homeChanged'>
  /** Whether the sibling with that key may end clients. */
  readonly mayClose: (sibling: Uint8Array) => boolean
}

export class PeerRegistry {
  readonly #table: PeerTable
  readonly #watchers: PresenceWatchers
  readonly #threads: OtherThreads
  readonly #counters: Counters
  readonly #duplicates: DuplicateWatch
  readonly #observer: Pick<Observer, 'homeChanged'>
  readonly #mayClose: PeerRegistryParts['mayClose']
  readonly #homes = new HomeChanges({ changed: (peer) => this.#homeChanged(peer) })

  constructor(parts: PeerRegistryParts) {
    this.#table = parts.table
    this.#watchers = parts.watchers
    this.#threads = parts.threads
    this.#counters = parts.counters
    this.#duplicates = parts.duplicates
    this.#observer = parts.observer
    this.#mayClose = parts.mayClose
  }

  /** Adds a session that has proven its key; it receives from now on, before its older sessions. */
  register(session: Recipient): Peer {
    const peer = this.#table.findOrAdd(session.key)
    const before = this.#table.gaugesOf(peer)
    if (peer.registrations > 0 && !session.isMesh) this.#counters.add(Counter.duplicatesTotal, 1)
    // A new array of the exact size: most keys have one session for ever, and one that grows leaves room for sixteen
    // more.
    peer.sessions = peer.sessions.concat(session)
    session.activity = this.#threads.nextActivity()
    this.#table.changed(peer, before)
    // On many relays nobody has to be told: most logins need no frame for it.
    if (this.#threads.count > 0) this.#threads.present(session.presentFrame, session.activity)
    if (this.#watchers.areTold) this.#watchers.tellPresent(session.presentFrame)
    return peer
  }

  /** Removes a session; the key's other sessions take over, or it is gone. */
  unregister(session: Recipient, peer: Peer): void {
    this.#watchers.forget(session)
    for (const source of session.packetSources ?? []) source.forgetRecipient(session)
    session.packetSources = undefined
    const before = this.#table.gaugesOf(peer)
    peer.sessions = peer.sessions.filter((one) => one !== session)
    const next = peer.sessions.at(-1)
    if (next === undefined) this.#threads.gone(peer.key)
    else if (peer.onOtherThreads.length > 0) this.#threads.active(peer.key, next.activity)
    this.#table.changed(peer, before)
    this.#homes.note(peer)
    this.#table.settle()
  }

  /** A drain is about to end a session of the key. Its siblings are told if that is the last one. */
  announceLeaving(peer: Peer): void {
    if (peer.registrations > 1) return
    this.#watchers.tellLeaving(peer)
    this.#threads.leaving(peer.key)
  }

  /** A frame arrived on a session whose key has others: it is the active one from now on, unless they alternate too fast. */
  noteActivity(session: Recipient, peer: Peer): void {
    const { active } = peer
    if (active === session && peer.thread === LOCAL) return
    if (!this.#duplicates.maySwitch(peer)) return
    if (active !== session) peer.sessions = movedToEnd(peer.sessions, session)
    if (peer.thread === LOCAL && active !== undefined) {
      // The other threads know that the key's activity is here; which of its sessions is active does not concern them.
      session.activity = active.activity
    } else {
      session.activity = this.#threads.nextActivity()
      this.#threads.active(peer.key, session.activity)
    }
    peer.elect()
  }

  /** Subscribes a sibling: first to a list of all keys, its own included, then to every change. */
  watch(sibling: Recipient): void {
    this.#watchers.watch(sibling, this.#table)
  }

  /** What the sessions of a peer on this thread note as their home may have changed. */
  noteHome(peer: Peer): void {
    this.#homes.note(peer)
  }

  /** A sibling asks to end all sessions of `key`, on whichever thread. */
  closePeer(sibling: Uint8Array, key: Uint8Array): void {
    // Relays of ours close the key 0 at login, to find out whether their mesh key was accepted.
    if (isZero(key)) return
    if (!this.#mayClose(sibling)) return this.#counters.add(Counter.closePeersRefused, 1)
    this.#table.find(key, 0)?.end(EndReason.closedBySibling)
    this.#threads.closePeer(key)
  }

  /** To be called about twice a second: tells what was not told at once. */
  sweep(): void {
    this.#homes.sweep()
    this.#duplicates.sweep()
    this.#watchers.sweep(this.#table)
  }

  #homeChanged(peer: Peer): void {
    this.#observer.homeChanged(peer.key, peer.isHomeHere)
    // The end of the last session says as much.
    if (peer.sessions.length > 0) this.#threads.home(peer.key, peer.isHomeHere)
    this.#watchers.updateHome(peer)
  }
}

function movedToEnd(sessions: readonly Recipient[], session: Recipient): readonly Recipient[] {
  const moved = sessions.slice()
  const at = moved.indexOf(session)
  moved.copyWithin(at, at + 1)
  moved[moved.length - 1] = session
  return moved
}
