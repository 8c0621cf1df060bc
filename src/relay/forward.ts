// Where does this packet go? Finds the destination and hands the packet to its session's outbox, to the relay thread
// that holds the session, or to the sibling that has the key; or counts why it goes nowhere. A packet that a sibling
// forwarded is never forwarded again, and one between tenants that are kept apart goes nowhere. This is the packet path:
// synchronous, no allocation, no exceptions; a SendPacket becomes a RecvPacket by rewriting its type and key where it lies.
//
//   [04|length|destination key|packet]   as it arrived
//   [05|length|     source key|packet]   as it leaves: same length, same place

import { copyOf, isZero, writeU32 } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { forwardedAsRecv, peerGoneFrame } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import { DropReason, PacketKind } from './drop-reason.ts'
import type { HeldPacket } from './hand-off.ts'
import { Packet } from './packet.ts'
import { LOCAL, NO_THREAD, type Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { PacketTaker } from './outbox.ts'
import type { LookupOwner, OtherThreads, Routes, ThreadPacketListener } from './ports.ts'
import type { Recipient } from './recipient.ts'
import type { Tenants } from './tenants.ts'

/** The session that a packet came from, as the forwarder sees it. */
export interface PacketSender extends LookupOwner {
  /** Its own peer. */
  readonly peer: Peer | undefined
  readonly isMesh: boolean
  /** The destination of its last packet, if that was found; kept by the forwarder. */
  lastDestination: Peer | undefined
  /** Queues a control frame. */
  tell(frame: Uint8Array): void
  /** Whether it may be told "not here" now; uses up one of its answers. */
  mayBeToldNotHere(nowMs: number): boolean
  /** Stops reading until the callback that `arrange` is given is called. */
  pauseUntil(arrange: (resume: () => void) => void): void
}

export interface ForwarderParts {
  readonly table: PeerTable
  readonly threads: OtherThreads
  readonly routes: Routes
  readonly tenants: Tenants
  readonly counters: Counters
  readonly now: () => number
}

export class Forwarder implements ThreadPacketListener, PacketTaker {
  readonly #table: PeerTable
  readonly #threads: OtherThreads
  readonly #routes: Routes
  readonly #tenants: Tenants
  readonly #counters: Counters
  readonly #now: () => number
  /** Data packets of some clients, or of all, are dropped: no more may be sent in this month. */
  someDiscoOnly = false
  #nowMs = 0
  readonly #packet = new Packet()
  /** The source of a sibling's packet to another thread: a copy of 32 bytes costs less than a view of them. */
  readonly #sourceKey = Buffer.alloc(KEY_BYTES)
  /** The peers of the last packet from another thread; packets come in runs. */
  #lastToHere: Peer | undefined = undefined
  #lastFromThread: Peer | undefined = undefined

  constructor(parts: ForwarderParts) {
    this.#table = parts.table
    this.#threads = parts.threads
    this.#routes = parts.routes
    this.#tenants = parts.tenants
    this.#counters = parts.counters
    this.#now = parts.now
  }

  /** To be called before bytes are read: the packets in them have arrived now. */
  lookAtClock(): void {
    this.#nowMs = this.#now()
  }

  /** A client's SendPacket, payload at [start, end): destination key and packet. */
  fromClient(sender: PacketSender, buffer: Buffer, start: number, end: number): void {
    const destination = this.#lastOrLookUp(sender, buffer, start)
    const packet = this.#packet
    packet.set(buffer, start, start + KEY_BYTES, end)
    const isDisco = packet.kind === PacketKind.disco
    this.#counters.add(isDisco ? Counter.receivedDisco : Counter.receivedData, 1)
    this.#counters.add(isDisco ? Counter.receivedBytesDisco : Counter.receivedBytesData, packet.packetBytes)
    const source = sender.peer as Peer
    if (this.someDiscoOnly && !isDisco && this.#isOverMonth(source.key, start))
      return this.#dropHere(DropReason.overMonth)
    if (destination === undefined) {
      if (this.#isApart(source.tenant, undefined, start)) this.#dropNotHere(sender, DropReason.tenant, start)
      else if (!this.#routes.lookUp(packet, sender, this.#nowMs)) {
        this.#dropNotHere(sender, DropReason.unknownDestination, start)
      }
    } else if (destination.tenant !== source.tenant) {
      // The same answer as for a key that is not here: whether this one is, is nothing that its sender may learn.
      this.#dropNotHere(sender, DropReason.tenant, start)
    } else if (destination.thread === LOCAL) {
      packet.start = start - HEADER_BYTES
      buffer[packet.start] = FrameType.recvPacket
      buffer.set(source.key, start)
      this.#deliver(destination, source)
    } else if (destination.thread === NO_THREAD) {
      if (destination.route === undefined) this.#dropNotHere(sender, DropReason.unknownDestination, start)
      else destination.route.forward(packet, source.key, this.#nowMs)
    } else {
      const { thread } = destination
      this.#toThread(destination, source.key)
      // Bytes that are not read slow their sender; bytes that are read would be dropped: the other thread is
      // overloaded.
      if (this.#threads.isPressed(thread))
        sender.pauseUntil((resume) => this.#threads.whenRoom(thread, resume))
    }
  }

  /** A sibling's ForwardPacket, payload at [start, end): source key, destination key and packet. */
  fromSibling(sender: PacketSender, buffer: Buffer, start: number, end: number): void {
    const destinationAt = start + KEY_BYTES
    const destination = this.#table.find(buffer, destinationAt)
    const packet = this.#packet
    packet.set(buffer, destinationAt, destinationAt + KEY_BYTES, end)
    packet.isForwarded = true
    this.#counters.add(Counter.forwardedIn, 1)
    if (this.someDiscoOnly && packet.kind !== PacketKind.disco && this.#isOverMonth(undefined, destinationAt))
      return this.#dropHere(DropReason.overMonth)
    if (isZero(buffer, start, destinationAt)) {
      // Today's clients do not read a RecvPacket without a source.
      this.#dropHere(DropReason.sourceInvalid)
    } else if (destination === undefined || destination.thread === NO_THREAD) {
      this.#dropNotHere(sender, DropReason.unknownDestinationForwarded, destinationAt)
    } else if (this.#isApart(destination.tenant, undefined, start)) {
      // The sibling is not told, or it would forget the way to a key that is here for others.
      this.#dropHere(DropReason.tenant)
    } else if (this.#tenants.areLimited && this.#isOverShare(destination)) {
      this.#dropHere(DropReason.overShare)
    } else if (destination.thread === LOCAL) {
      const source = this.#table.locate(buffer, start)
      packet.start = forwardedAsRecv(buffer, start, end)
      this.#deliver(destination, source)
    } else {
      buffer.copy(this.#sourceKey, 0, start, destinationAt)
      this.#toThread(destination, this.#sourceKey)
    }
  }

  /** Destination key, source key and packet from another thread of this relay. Sent on once if its destination has left this one. */
  fromThread(buffer: Buffer, start: number, end: number, isForwarded: boolean): void {
    const sourceAt = start + KEY_BYTES
    const packet = this.#packet
    packet.set(buffer, sourceAt - HEADER_BYTES, sourceAt + KEY_BYTES, end)
    this.#counters.add(Counter.receivedFromThreads, 1)
    const destination = this.#sameOrLookUp(this.#lastToHere, buffer, start)
    if (destination?.active === undefined) {
      // It left while the packet was on its way between the threads.
      if (!isForwarded && isSomewhere(destination)) return this.#sendOn(destination, buffer, start, end)
      // A thread without routes of its own, the lane's, leaves it to this one to look for the key.
      if (!isForwarded && destination === undefined && this.#lookUp(buffer, start, end)) return
      return this.#dropHere(DropReason.goneDisconnected)
    }
    const source = this.#sameOrLookUp(this.#lastFromThread, buffer, sourceAt)
    this.#lastToHere = destination
    this.#lastFromThread = source
    // The other thread may not have heard of a change yet, or be of an earlier run that does not keep tenants apart.
    if (this.#isApart(destination.tenant, source, sourceAt)) return this.#dropHere(DropReason.tenant)
    buffer[packet.start] = FrameType.recvPacket
    writeU32(buffer, packet.start + 1, end - sourceAt)
    this.#deliver(destination, source)
  }

  /** Sends a packet that was held to where its destination is now. */
  handOn(destination: Peer, { frame, sourceKey }: HeldPacket): void {
    this.lookAtClock()
    this.#packet.set(frame, HEADER_BYTES, HEADER_BYTES + KEY_BYTES, frame.length)
    this.#send(destination, sourceKey)
  }

  /**
   * A RecvPacket frame waited for a session of the key and can't be delivered there any more. Sends it to where the key
   * is now, and returns false if that is nowhere. The frame is overwritten.
   */
  handOver(key: Uint8Array, buffer: Buffer, start: number, end: number): boolean {
    const destination = this.#table.locate(key, 0)
    if (!isSomewhere(destination)) return false
    const keyAt = start + HEADER_BYTES
    buffer.copy(this.#sourceKey, 0, keyAt, keyAt + KEY_BYTES)
    buffer.set(key, keyAt)
    this.lookAtClock()
    this.#packet.set(buffer, keyAt, keyAt + KEY_BYTES, end)
    this.#send(destination, this.#sourceKey)
    return true
  }

  /**
   * The same with a ForwardPacket frame that waited for a sibling whose link has ended: it has not left this relay, so it
   * may be forwarded.
   */
  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    const sourceAt = start + HEADER_BYTES
    const keyAt = sourceAt + KEY_BYTES
    this.lookAtClock()
    this.#packet.set(buffer, keyAt, keyAt + KEY_BYTES, end)
    const destination = this.#table.locate(buffer, keyAt)
    if (!isSomewhere(destination)) {
      // It had a location before, so its sender need not pay for this lookup.
      const owner = { key: copyOf(buffer, sourceAt, keyAt), mayLookUp: () => true }
      return this.#routes.lookUp(this.#packet, owner, this.#nowMs)
    }
    buffer.copy(this.#sourceKey, 0, sourceAt, keyAt)
    // The header of a SendPacket frame takes the end of the source's key.
    writeU32(buffer, keyAt - HEADER_BYTES + 1, end - keyAt)
    this.#send(destination, this.#sourceKey)
    return true
  }

  /** The same bytes, written to a thread that has ended without reading them. */
  lostWithThread(buffer: Buffer, start: number, end: number): void {
    const packet = this.#packet
    packet.set(buffer, start, start + 2 * KEY_BYTES, end)
    this.#dropHere(DropReason.goneDisconnected)
  }

  /** The peer of the sender's last destination if it is the same again, else looked up. */
  #lastOrLookUp(sender: PacketSender, buffer: Buffer, at: number): Peer | undefined {
    const found = this.#sameOrLookUp(sender.lastDestination, buffer, at)
    sender.lastDestination = found
    return found
  }

  /** The peer of the key buffer[at, at + 32): `last` if it is the same again, else looked up. */
  #sameOrLookUp(last: Peer | undefined, buffer: Buffer, at: number): Peer | undefined {
    if (last !== undefined && !last.isGone && sameKey(last.key, buffer, at)) return last
    return this.#table.locate(buffer, at)
  }

  #deliver(destination: Peer, source: Peer | undefined): void {
    const recipient = destination.active as Recipient
    source?.addRecipient(recipient)
    recipient.deliver(this.#packet, this.#nowMs)
  }

  /**
   * A packet from another thread, as in `fromThread`, whose destination is at a third one by now, or at a sibling, or expected
   * there. The third thread does not send it on.
   */
  #sendOn(destination: Peer, buffer: Buffer, start: number, end: number): void {
    const keyAt = start + KEY_BYTES
    buffer.copy(this.#sourceKey, 0, keyAt, keyAt + KEY_BYTES)
    buffer.copyWithin(keyAt, start, keyAt)
    this.#packet.set(buffer, keyAt, keyAt + KEY_BYTES, end)
    this.#packet.isForwarded = destination.thread !== NO_THREAD
    this.#send(destination, this.#sourceKey)
  }

  /** Has the key of such a packet looked up. Returns false if that is pointless. */
  #lookUp(buffer: Buffer, start: number, end: number): boolean {
    const sourceAt = start + KEY_BYTES
    const packet = this.#packet
    const owner = { key: copyOf(buffer, sourceAt, sourceAt + KEY_BYTES), mayLookUp: () => true }
    // As a client's SendPacket has it: the destination's key before the packet.
    buffer.copyWithin(sourceAt, start, sourceAt)
    packet.set(buffer, sourceAt, sourceAt + KEY_BYTES, end)
    return this.#routes.lookUp(packet, owner, this.#nowMs)
  }

  /** The packet's SendPacket frame lies in its buffer, from its header on: it may be rewritten there. */
  #send(destination: Peer, sourceKey: Uint8Array): void {
    const packet = this.#packet
    if (this.#tenants.of(sourceKey, 0) !== destination.tenant) {
      // It had waited, and one of the two has another tenant since.
      this.#dropHere(DropReason.tenant)
    } else if (destination.thread === NO_THREAD) {
      destination.route?.forward(packet, sourceKey, this.#nowMs)
    } else if (destination.thread === LOCAL) {
      packet.buffer[packet.start - HEADER_BYTES] = FrameType.recvPacket
      packet.buffer.set(sourceKey, packet.start)
      packet.start -= HEADER_BYTES
      this.#deliver(destination, this.#table.find(sourceKey, 0))
    } else {
      this.#toThread(destination, sourceKey)
    }
  }

  #toThread({ thread, key }: Peer, sourceKey: Uint8Array): void {
    if (this.#threads.sendPacket(thread, key, sourceKey, this.#packet)) {
      this.#counters.add(Counter.sentToThreads, 1)
    } else {
      this.#dropHere(DropReason.threadQueue)
    }
  }

  /**
   * Whether packets may not pass between the tenant and another key: that of `peer`, or if it is undefined, the one that lies
   * in the packet's buffer at `keyAt`.
   */
  #isApart(tenant: number, peer: Peer | undefined, keyAt: number): boolean {
    if (!this.#tenants.areApart) return false
    return tenant !== (peer?.tenant ?? this.#tenants.of(this.#packet.buffer, keyAt))
  }

  /**
   * What clients here send is limited where it is read. A sibling's link carries the packets of many tenants and is read on, so
   * what its tenant or the relay may not have of it is dropped. Small packets that keep paths alive are not.
   */
  #isOverShare(destination: Peer): boolean {
    const { kind, packetBytes } = this.#packet
    if (kind === PacketKind.disco) return false
    return !this.#tenants.tryForward(destination.key, packetBytes, this.#nowMs)
  }

  /** @param sourceKey undefined: a sibling's client, of which that one judges. The destination's key is in the packet's buffer */
  #isOverMonth(sourceKey: Uint8Array | undefined, destinationAt: number): boolean {
    const isSourceOver = sourceKey !== undefined && this.#tenants.isDiscoOnly(sourceKey, 0)
    return isSourceOver || this.#tenants.isDiscoOnly(this.#packet.buffer, destinationAt)
  }

  #dropHere(reason: DropReason): void {
    const { kind, packetBytes } = this.#packet
    this.#counters.countDrop(reason, kind, packetBytes)
  }

  /**
   * Counts a drop because the key buffer[keyAt, keyAt + 32) is not here. The sender of a disco message is told so,
   * within limits. A sibling is told whatever it sends: its route is stale, and it should forget it.
   */
  #dropNotHere(sender: PacketSender, reason: DropReason, keyAt: number): void {
    const { buffer, kind } = this.#packet
    this.#dropHere(reason)
    if (kind !== PacketKind.disco && !sender.isMesh) return
    if (!sender.mayBeToldNotHere(this.#nowMs)) return
    this.#counters.add(Counter.peerGoneNotHere, 1)
    sender.tell(peerGoneFrame(buffer.subarray(keyAt, keyAt + KEY_BYTES), GoneReason.notHere))
  }
}

function isSomewhere(peer: Peer | undefined): peer is Peer {
  return peer !== undefined && (peer.thread !== NO_THREAD || peer.route !== undefined)
}

function sameKey(key: Uint8Array, buffer: Buffer, at: number): boolean {
  for (let i = 0; i < KEY_BYTES; i++) {
    if (key[i] !== buffer[at + i]) return false
  }
  return true
}
