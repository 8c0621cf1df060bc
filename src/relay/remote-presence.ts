// What the other threads of this relay say about keys: which are connected to them, which of their sessions are active,
// and which clients have noted this relay as their home. Applies it to the table and tells watchers. Called only while
// this thread reads what the others have written, and when one of them has ended.

import { bytesEqual } from '#protocol/bytes.ts'
import { EndReason } from './end-reason.ts'
import type { Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { ConnectedKey, RemotePresenceListener } from './ports.ts'
import type { PresenceWatchers } from './presence-watchers.ts'

export class RemotePresence implements RemotePresenceListener {
  readonly #table: PeerTable
  readonly #watchers: PresenceWatchers
  /** By thread whose full sync is under way: the keys known there that the sync has not named yet. */
  readonly #unconfirmed = new Map<number, Set<Peer>>()

  constructor(table: PeerTable, watchers: PresenceWatchers) {
    this.#table = table
    this.#watchers = watchers
  }

  peerPresent(thread: number, key: Uint8Array, presentFrame: Uint8Array, activity: number): void {
    const peer = this.#table.findOrAdd(key)
    const before = this.#table.gaugesOf(peer)
    const at = peer.onOtherThreads.findIndex((other) => other.thread === thread)
    const known = peer.onOtherThreads[at]
    const presence = { thread, activity, presentFrame, isHome: known?.isHome ?? false }
    if (known === undefined) peer.onOtherThreads.push(presence)
    else peer.onOtherThreads[at] = presence
    this.#unconfirmed.get(thread)?.delete(peer)
    this.#table.changed(peer, before)
    // A key that is only named once more is known to watchers.
    if (known !== undefined && bytesEqual(known.presentFrame, presentFrame)) return
    this.#watchers.tellPresent(presentFrame)
  }

  peerActive(thread: number, key: Uint8Array, activity: number): void {
    const peer = this.#table.find(key, 0)
    const known = peer?.on(thread)
    if (peer === undefined || known === undefined) return
    known.activity = activity
    peer.elect()
  }

  peerGone(thread: number, key: Uint8Array): void {
    const peer = this.#table.find(key, 0)
    const at = peer?.onOtherThreads.findIndex((other) => other.thread === thread) ?? -1
    if (peer === undefined || at < 0) return
    const before = this.#table.gaugesOf(peer)
    peer.onOtherThreads.splice(at, 1)
    this.#unconfirmed.get(thread)?.delete(peer)
    this.#table.changed(peer, before)
    this.#watchers.updateHome(peer)
  }

  peerLeaving(key: Uint8Array): void {
    const peer = this.#table.find(key, 0)
    if (peer !== undefined) this.#watchers.tellLeaving(peer)
  }

  homeChanged(thread: number, key: Uint8Array, isHome: boolean): void {
    const peer = this.#table.find(key, 0)
    const known = peer?.on(thread)
    if (peer === undefined || known === undefined) return
    known.isHome = isHome
    this.#watchers.updateHome(peer)
  }

  syncStarted(thread: number): void {
    this.#unconfirmed.set(thread, new Set(this.#table.connectedTo(thread)))
  }

  syncFinished(thread: number): void {
    const gone = this.#unconfirmed.get(thread) ?? []
    this.#unconfirmed.delete(thread)
    for (const { key } of gone) this.peerGone(thread, key)
  }

  threadEnded(thread: number): void {
    this.#unconfirmed.delete(thread)
    for (const { key } of this.#table.connectedTo(thread)) this.peerGone(thread, key)
    this.#table.settle()
  }

  closePeer(key: Uint8Array): void {
    this.#table.find(key, 0)?.end(EndReason.closedBySibling)
  }

  connectedKeys(): readonly ConnectedKey[] {
    return this.#table.connectedHere()
  }
}
