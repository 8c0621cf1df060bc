// One node key that this relay thread deals with: connected to this thread with one or more sessions, or to other
// threads, or both; or not connected to this relay but to a sibling. Knows which session receives packets, and which
// sessions must be told when the key leaves. Not the table that finds it (`peer-table.ts`) and not the policy:
// `peer-registry.ts` and `remote-presence.ts` change it.

import type { EndReason } from './end-reason.ts'
import type { KeyShare } from './key-share.ts'
import type { ForwardTarget } from './ports.ts'
import { PacketSources, type PacketSource, type Recipient } from './recipient.ts'

/** In place of a relay thread's number: this thread. */
export const LOCAL = -1
/** In place of a relay thread's number: not connected to this relay. */
export const NO_THREAD = -2

/** The key's presence on another thread of this relay. */
export interface ThreadPresence {
  readonly thread: number
  /** When that thread's active session became active, in the relay's count of activity. */
  activity: number
  /** The last registration there, as a PeerPresent frame for watchers. */
  readonly presentFrame: Uint8Array
  /** A client there has noted this relay as its home. */
  isHome: boolean
}

export class Peer implements PacketSource {
  readonly key: Uint8Array
  /** Sessions on this thread in order of activity; the last one is active. */
  sessions: readonly Recipient[] = []
  /** Where else in this relay the key is connected. */
  readonly onOtherThreads: ThreadPresence[] = []
  /** The thread whose session receives packets: LOCAL, another's number, or NO_THREAD. */
  thread = NO_THREAD
  /** Where packets go while `thread` is NO_THREAD; kept up to date while it is not, too. */
  route: ForwardTarget | undefined = undefined
  /** A client of this key on this thread has noted this relay as its home. */
  isHomeHere = false
  /** The same, on any thread of this relay. */
  isHome = false
  /** The session on this thread that receives packets when `thread` is LOCAL. */
  active: Recipient | undefined = undefined
  /** Packets pass only between peers of equal numbers: see `tenants.ts`. Kept by `peer-table.ts`. */
  tenant = 0
  /** What its connections may send together; undefined: as much as they like. */
  keyShare: KeyShare | undefined = undefined
  /** The key is neither here nor at a sibling any more; code that remembers this peer must look the key up again. */
  isGone = false
  /** Sessions on this thread that were given a packet of this peer: they are told when it leaves. */
  #recipients: Set<Recipient> | undefined = undefined
  /** The latest of them, which spares a lookup for each packet of a run. */
  #lastRecipient: Recipient | undefined = undefined

  /** @param key 32 bytes, owned by the peer from now on */
  constructor(key: Uint8Array) {
    this.key = key
  }

  /** Sessions of this key in the whole relay; each other thread counts as one. */
  get registrations(): number {
    return this.sessions.length + this.onOtherThreads.length
  }

  /** How watchers are told of this peer; undefined if it is not connected to this relay. */
  get presentFrame(): Uint8Array | undefined {
    if (this.thread === LOCAL) return this.active?.presentFrame
    return this.on(this.thread)?.presentFrame
  }

  on(thread: number): ThreadPresence | undefined {
    return this.onOtherThreads.find((other) => other.thread === thread)
  }

  /** Notes that `recipient` was given a packet of this peer. */
  addRecipient(recipient: Recipient): void {
    if (this.#lastRecipient === recipient) return
    this.#lastRecipient = recipient
    this.#recipients ??= new Set()
    this.#recipients.add(recipient)
    recipient.packetSources ??= new PacketSources()
    recipient.packetSources.add(this)
  }

  /** Returns those that were given a packet of this peer and that `fits` selects; both sides forget it. */
  takeRecipients(fits: (recipient: Recipient) => boolean = () => true): readonly Recipient[] {
    const recipients = this.#recipients === undefined ? [] : [...this.#recipients].filter(fits)
    for (const recipient of recipients) {
      const { packetSources } = recipient
      if (packetSources?.delete(this) === true) packetSources.departed++
      this.#recipients?.delete(recipient)
    }
    if (this.#recipients?.size === 0) this.#recipients = undefined
    this.#lastRecipient = undefined
    return recipients
  }

  forgetRecipient(recipient: Recipient): void {
    this.#recipients?.delete(recipient)
    if (this.#lastRecipient === recipient) this.#lastRecipient = undefined
  }

  /** Decides again which thread and session receive packets: those of the latest activity. */
  elect(): void {
    this.active = this.sessions.at(-1)
    this.thread = this.active === undefined ? NO_THREAD : LOCAL
    let latest = this.active?.activity
    for (const other of this.onOtherThreads) {
      if (latest !== undefined && ((other.activity - latest) | 0) < 0) continue
      latest = other.activity
      this.thread = other.thread
    }
    this.keyShare?.divide(1 + this.onOtherThreads.length)
  }

  /** Ends the key's sessions on this thread. */
  end(reason: EndReason): void {
    for (const session of this.sessions) session.end(reason)
  }
}
