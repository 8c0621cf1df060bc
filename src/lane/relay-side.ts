// The relay's threads, as the lane sees them: where keys are that are not on the lane, and the packets both ways. To them the lane
// is one more thread with keys of its own, so that its members are present in the mesh, and packets find them from everywhere.
// Implements the relay's port ThreadListener.

import { copyOf } from '#protocol/bytes.ts'
import { PresenceFlag } from '#protocol/frame-type.ts'
import { peerPresentFrame } from '#protocol/frames.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { PacketKind } from '#relay/drop-reason.ts'
import type {
  ConnectedKey,
  OtherThreads,
  RemotePresenceListener,
  ThreadListener,
  ThreadPacketListener,
} from '#relay/ports.ts'
import { Elsewhere } from './elsewhere.ts'
import type { Member } from './member.ts'

export interface RelaySideParts {
  readonly threads: OtherThreads
  /** 32 random bits for the table's hash. */
  readonly seed: number
  readonly membersHere: () => readonly Member[]
  /** A packet for a key of the lane: destination key, source key and packet at [start, end), borrowed. */
  readonly onPacket: (buffer: Buffer, start: number, end: number) => void
  /** A packet that a thread has not read before it ended. */
  readonly onLost: () => void
  /** The key's connections elsewhere have changed from none to some, or to none. */
  readonly onElsewhere: (key: Uint8Array, elsewhere: Elsewhere | undefined) => void
  /** An operator or a sibling wants the key to end. */
  readonly onClose: (key: Uint8Array) => void
  /** Asks for a call of `endTurn` at the end of this turn of the loop. */
  readonly wake: () => void
}

export class RelaySide implements ThreadListener, RemotePresenceListener {
  readonly presence = this
  readonly packets: ThreadPacketListener
  readonly #parts: RelaySideParts
  readonly #keys: KeyTable<Elsewhere>
  /** Threads that have said what they have. */
  #threads: readonly number[] = []
  /** By thread whose full sync is under way: the keys known there that the sync has not named yet. */
  readonly #unconfirmed = new Map<number, Set<Elsewhere>>()
  readonly #packet = {
    buffer: Buffer.alloc(0) as Buffer,
    start: 0,
    packetAt: 0,
    end: 0,
    kind: PacketKind.data,
    isForwarded: false,
  }

  constructor(parts: RelaySideParts) {
    this.#parts = parts
    this.#keys = new KeyTable(parts.seed)
    this.packets = {
      fromThread: (buffer, start, end) => parts.onPacket(buffer, start, end),
      lostWithThread: () => parts.onLost(),
    }
    parts.threads.connect(this)
  }

  find(key: Uint8Array): Elsewhere | undefined {
    return this.#keys.find(key, 0)
  }

  // ── from the lane ──

  /** Hands a member's packet to the thread that has its destination, or that finds the way. Returns false if it has no room. */
  send(to: Member, from: Member, message: Buffer): boolean {
    const thread = to.elsewhere?.latest?.thread ?? this.#anyThread(to.key)
    if (thread === undefined) return false
    const packet = this.#packet
    packet.buffer = message
    packet.end = message.length
    return this.#parts.threads.sendPacket(thread, to.key, from.key, packet)
  }

  /** The member has proven where it is: first, or again after its key was active elsewhere. */
  announce(member: Member, isNew: boolean): void {
    const { threads } = this.#parts
    member.activity = threads.nextActivity()
    if (isNew) {
      threads.present(presentFrameOf(member), member.activity)
      // Siblings of other regions are told of keys that are at home.
      threads.home(member.key, true)
    } else {
      threads.active(member.key, member.activity)
    }
  }

  /** The member is not on the lane any more. */
  withdraw(key: Uint8Array): void {
    this.#parts.threads.gone(key)
  }

  /** To be called once per turn. Returns whether something waits for room at a thread. */
  endTurn(): boolean {
    return this.#parts.threads.endTurn()
  }

  /** The same one for all packets to a key, so that they stay in order. */
  #anyThread(key: Uint8Array): number | undefined {
    return this.#threads[(key[0] ?? 0) % this.#threads.length]
  }

  // ── from the threads ──

  readThreads(): void {
    this.#parts.threads.drain()
  }

  wake(): void {
    this.#parts.wake()
  }

  peerPresent(thread: number, key: Uint8Array, _frame: Uint8Array, activity: number): void {
    const known = this.#keys.find(key, 0)
    const entry = known ?? new Elsewhere(copyOf(key, 0, KEY_BYTES))
    const others = entry.registrations.filter((one) => one.thread !== thread)
    entry.registrations = [...others, { thread, activity }]
    this.#unconfirmed.get(thread)?.delete(entry)
    if (known !== undefined) return
    this.#keys.set(entry.key, 0, entry)
    this.#parts.onElsewhere(entry.key, entry)
  }

  peerActive(thread: number, key: Uint8Array, activity: number): void {
    const one = this.#keys.find(key, 0)?.registrations.find((each) => each.thread === thread)
    if (one !== undefined) one.activity = activity
  }

  peerGone(thread: number, key: Uint8Array): void {
    const entry = this.#keys.find(key, 0)
    if (entry === undefined) return
    entry.registrations = entry.registrations.filter((one) => one.thread !== thread)
    this.#unconfirmed.get(thread)?.delete(entry)
    if (entry.registrations.length > 0) return
    this.#keys.delete(key, 0)
    this.#parts.onElsewhere(entry.key, undefined)
  }

  peerLeaving(): void {
    // It is gone in a moment, and what comes for it meanwhile is held by the threads.
  }

  homeChanged(): void {
    // The lane sends to the thread that has the key, wherever its home is.
  }

  syncStarted(thread: number): void {
    this.#threads = [...this.#threads.filter((one) => one !== thread), thread].sort((a, b) => a - b)
    this.#unconfirmed.set(thread, new Set(this.#on(thread)))
  }

  syncFinished(thread: number): void {
    const gone = this.#unconfirmed.get(thread) ?? []
    this.#unconfirmed.delete(thread)
    for (const { key } of gone) this.peerGone(thread, key)
  }

  threadEnded(thread: number): void {
    this.#threads = this.#threads.filter((one) => one !== thread)
    this.#unconfirmed.delete(thread)
    for (const { key } of this.#on(thread)) this.peerGone(thread, key)
  }

  closePeer(key: Uint8Array): void {
    this.#parts.onClose(key)
  }

  connectedKeys(): readonly ConnectedKey[] {
    return this.#parts.membersHere().map((member) => ({
      key: member.key,
      get active() {
        if (member.address === undefined) return undefined
        return { presentFrame: presentFrameOf(member), activity: member.activity }
      },
      isHomeHere: true,
    }))
  }

  #on(thread: number): readonly Elsewhere[] {
    return [...this.#keys].filter(({ registrations }) => registrations.some((one) => one.thread === thread))
  }
}

function presentFrameOf({ key, address }: Member): Uint8Array {
  const { host = '', port = 0 } = address ?? {}
  return peerPresentFrame({ key, ip: ipToBytes(host), port, flags: PresenceFlag.regular, appName: undefined })
}
