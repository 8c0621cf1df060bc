// Where does this packet go? Finds the destination and hands the packet to its session's outbox, to the
// relay thread that holds it or to the sibling that has it, or counts why it went nowhere. What a sibling forwarded is
// never forwarded again. The hot path: synchronous, no allocation, no
// exceptions; a SendPacket becomes a RecvPacket by rewriting its type and key where it lies.
//
//   [04|length|destination key|packet]   as it arrived
//   [05|length|     source key|packet]   as it leaves: same length, same place

import { isZero, writeU32 } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { forwardedAsRecv, peerGoneFrame } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import type { PeerRegistry } from './peer-registry.ts'
import { DropReason, PacketKind } from './drop-reason.ts'
import type { ThreadLinks } from '#interthread/thread-links.ts'
import { Packet } from './packet.ts'
import { AWAY, LOCAL, type Peer } from './peer.ts'
import type { Routes } from './ports.ts'
import type { Session } from './session.ts'

export interface ForwarderParts {
  readonly registry: PeerRegistry
  readonly threads: ThreadLinks
  readonly routes: Routes
  readonly counters: Counters
  readonly now: () => number
}

export class Forwarder {
  readonly #registry: PeerRegistry
  readonly #threads: ThreadLinks
  readonly #routes: Routes
  readonly #counters: Counters
  readonly #now: () => number
  #nowMs = 0
  readonly #packet = new Packet()
  /** Of the last packet from another thread; they come in runs. */
  #lastCrossedTo: Peer | undefined = undefined
  #lastCrossedFrom: Peer | undefined = undefined

  constructor(parts: ForwarderParts) {
    this.#registry = parts.registry
    this.#threads = parts.threads
    this.#routes = parts.routes
    this.#counters = parts.counters
    this.#now = parts.now
  }

  /** To be called before bytes are read: the packets in them have come now. */
  lookAtClock(): void {
    this.#nowMs = this.#now()
  }

  /** A client's SendPacket, payload at [start, end): destination key and packet. */
  fromClient(session: Session, buffer: Buffer, start: number, end: number): void {
    const destination = this.#lastOrLookUp(session, buffer, start)
    const packet = this.#packet
    packet.set(buffer, start, start + KEY_BYTES, end)
    const isDisco = packet.kind === PacketKind.disco
    this.#counters.add(isDisco ? Counter.receivedDisco : Counter.receivedData, 1)
    this.#counters.add(isDisco ? Counter.receivedBytesDisco : Counter.receivedBytesData, packet.packetBytes)
    const source = session.peer as Peer
    if (destination === undefined) {
      if (!this.#routes.lookUp(packet, session, this.#nowMs)) {
        this.#nowhere(session, DropReason.unknownDestination, start)
      }
    } else if (destination.thread === LOCAL) {
      packet.start = start - HEADER_BYTES
      buffer[packet.start] = FrameType.recvPacket
      buffer.set(source.key, start)
      this.#deliver(destination, source)
    } else if (destination.thread === AWAY) {
      if (destination.route === undefined) this.#nowhere(session, DropReason.unknownDestination, start)
      else destination.route.forward(packet, source.key, this.#nowMs)
    } else {
      const { thread } = destination
      this.#cross(destination, source.key)
      // Better not read than read and dropped: the other thread has more to do than it can.
      if (this.#threads.isPressed(thread)) session.rest((goOn) => this.#threads.whenRoom(thread, goOn))
    }
  }

  /** A sibling's ForwardPacket, payload at [start, end): source key, destination key and packet. */
  fromSibling(session: Session, buffer: Buffer, start: number, end: number): void {
    const destinationAt = start + KEY_BYTES
    const destination = this.#registry.find(buffer, destinationAt)
    const packet = this.#packet
    packet.set(buffer, destinationAt, destinationAt + KEY_BYTES, end)
    this.#counters.add(Counter.forwardedIn, 1)
    if (isZero(buffer, start, destinationAt)) {
      // A RecvPacket without a source is a form that today's clients don't read.
      this.#counters.countDrop(DropReason.sourceInvalid, packet.kind, packet.packetBytes)
    } else if (destination === undefined || destination.thread === AWAY) {
      this.#nowhere(session, DropReason.unknownDestinationForwarded, destinationAt)
    } else if (destination.thread === LOCAL) {
      const source = this.#registry.locate(buffer, start)
      packet.start = forwardedAsRecv(buffer, start, end)
      this.#deliver(destination, source)
    } else {
      this.#cross(destination, buffer.subarray(start, destinationAt))
    }
  }

  /** Destination key, source key and packet from another thread of this relay: only ever delivered here. */
  fromThread(buffer: Buffer, start: number, end: number): void {
    const packet = this.#packet
    const sourceAt = start + KEY_BYTES
    packet.set(buffer, sourceAt - HEADER_BYTES, sourceAt + KEY_BYTES, end)
    this.#counters.add(Counter.crossedIn, 1)
    const destination = this.#sameOrLookUp(this.#lastCrossedTo, buffer, start)
    if (destination?.active === undefined) {
      // It left while the packet crossed.
      this.#counters.countDrop(DropReason.goneDisconnected, packet.kind, packet.packetBytes)
      return
    }
    const source = this.#sameOrLookUp(this.#lastCrossedFrom, buffer, sourceAt)
    this.#lastCrossedTo = destination
    this.#lastCrossedFrom = source
    buffer[packet.start] = FrameType.recvPacket
    writeU32(buffer, packet.start + 1, end - sourceAt)
    this.#deliver(destination, source)
  }

  /** The peer of this session's last destination if it is the same again, else looked up. */
  #lastOrLookUp(session: Session, buffer: Buffer, at: number): Peer | undefined {
    const found = this.#sameOrLookUp(session.lastDestination, buffer, at)
    session.lastDestination = found
    return found
  }

  #sameOrLookUp(last: Peer | undefined, buffer: Buffer, at: number): Peer | undefined {
    if (last !== undefined && !last.isGone && sameKey(last.key, buffer, at)) return last
    return this.#registry.locate(buffer, at)
  }

  #deliver(destination: Peer, source: Peer | undefined): void {
    const target = destination.active as Session
    source?.heardBy(target)
    target.outbox.offerPacket(this.#packet, this.#nowMs)
    target.wantsFlush()
  }

  #cross({ thread, key }: Peer, sourceKey: Uint8Array): void {
    if (this.#threads.sendPacket(thread, key, sourceKey, this.#packet)) {
      this.#counters.add(Counter.crossedOut, 1)
    } else {
      this.#counters.countDrop(DropReason.threadQueue, this.#packet.kind, this.#packet.packetBytes)
    }
  }

  /**
   * Counts the drop; who sends disco messages to an unknown key is told so, within limits. A sibling is told whatever
   * it sends: its route is stale, and it had better forget it.
   */
  #nowhere(session: Session, reason: DropReason, keyAt: number): void {
    const { buffer, kind, packetBytes } = this.#packet
    this.#counters.countDrop(reason, kind, packetBytes)
    if (kind !== PacketKind.disco && !session.isMesh) return
    if (!session.allowances.mayHearNotHere(this.#nowMs)) return
    this.#counters.add(Counter.peerGoneNotHere, 1)
    session.tell(peerGoneFrame(buffer.subarray(keyAt, keyAt + KEY_BYTES), GoneReason.notHere))
  }
}

function sameKey(key: Uint8Array, buffer: Buffer, at: number): boolean {
  for (let i = 0; i < KEY_BYTES; i++) {
    if (key[i] !== buffer[at + i]) return false
  }
  return true
}
