// The frames that wait to leave on one session, or for one sibling: control frames, disco packets and data packets,
// each in a lane of its own, written in that order. All bytes leave through here, so limits, drops and counters can't
// be bypassed. Bounded: a full packet lane drops its oldest; a full control lane ends the session.
//
//   control ─┐
//   disco   ─┼─ flush ─→ one burst in flight ─→ link        nothing is flushed while a burst is in flight,
//   data    ─┘                                              so frames wait here, where they can be dropped

import type { BufferPool } from '#protocol/buffer-pool.ts'
import { readU32, writeU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import { Counter, type Counters } from './counters.ts'
import { DropReason, PacketKind } from './drop-reason.ts'
import { CHUNK_BYTES_MAX, Lane, type Chunk } from './lane.ts'
import type { AddressedPacket, Link, SiblingOutbox, Tally } from './ports.ts'

/** Pongs, PeerGone and the like. A watcher of 10,000 peers is sent 600 KB at once; no session is sent 16 MiB. */
const CONTROL_BYTES_MAX = 16_777_216
/** After a second the sender of a tunnel's packet has sent it again. */
const PACKET_AGE_MAX_MS = 1_000

/** How much may be in an outbox, and how its packets are counted; differs between clients and siblings. */
interface OutboxUse {
  readonly burstBytesMax: number
  readonly discoBytesMax: number
  /** Size that a chunk of data grows to. */
  readonly chunkBytesMax: number
  /** Bytes of a packet's frame besides the packet. */
  readonly overheadBytes: number
  /** By kind of packet. */
  readonly sent: readonly [data: number, disco: number]
  readonly sentBytes: readonly [data: number, disco: number]
  readonly dropWhenFull: DropReason
  readonly dropAtEnd: DropReason
}

const CLIENT: OutboxUse = {
  // Several full TLS records, and as much as a link of half a megabit takes in the default time limit of 2 s.
  burstBytesMax: 65_536,
  // Disco messages are small and periodic; 64 KiB holds several hundred.
  discoBytesMax: 65_536,
  chunkBytesMax: CHUNK_BYTES_MAX,
  overheadBytes: HEADER_BYTES + KEY_BYTES,
  sent: [Counter.sentData, Counter.sentDisco],
  sentBytes: [Counter.sentBytesData, Counter.sentBytesDisco],
  dropWhenFull: DropReason.queueHead,
  dropAtEnd: DropReason.goneDisconnected,
}

const SIBLING: OutboxUse = {
  // A link to a sibling carries the packets of thousands of clients, and is never as slow as half a megabit.
  burstBytesMax: 262_144,
  discoBytesMax: 1_048_576,
  // The packets of one poll round on a busy thread leave as one piece, without another copy.
  chunkBytesMax: 131_072,
  overheadBytes: HEADER_BYTES + 2 * KEY_BYTES,
  sent: [Counter.forwardedOut, Counter.forwardedOut],
  sentBytes: [Counter.forwardedOutBytes, Counter.forwardedOutBytes],
  dropWhenFull: DropReason.siblingQueue,
  dropAtEnd: DropReason.siblingLost,
}

export type OutboxLimits = Pick<RelayLimits, 'outboxBytesMax' | 'outboxPacketsMax'>

const NOTHING: Tally = { packets: 0, bytes: 0, dropped: 0, delayMs: 0 }

/** Where packets go that can't be sent here any more. */
export interface PacketTaker {
  /**
   * A frame as the outbox writes it, RecvPacket or ForwardPacket. Borrowed for the call; all but its header may be
   * overwritten. Returns false if it is not taken.
   */
  takeFrame(buffer: Buffer, start: number, end: number): boolean
}

/** Chunks on their way out. */
interface Burst {
  first: Chunk | undefined
  last: Chunk | undefined
  bytes: number
}

/** Shared by the outboxes of one thread. */
export interface OutboxParts {
  readonly pool: BufferPool
  readonly memoryBudget: MemoryBudget
  readonly limits: OutboxLimits
  readonly counters: Counters
  /** What still waits when the outbox is closed is given to it, unless `close` names another. */
  readonly taker?: PacketTaker
}

export class Outbox implements SiblingOutbox {
  readonly #parts: OutboxParts
  readonly #use: OutboxUse
  // Made when first used: for most clients nothing but control frames ever waits.
  #control: Lane | undefined = undefined
  #data: Lane | undefined = undefined
  #disco: Lane | undefined = undefined
  /** Chunks of the burst in flight that the link may still read. */
  #flight: Chunk | undefined = undefined
  /** Bytes of the burst in flight that the link has copied. */
  #copiedBytes = 0
  /** When the burst in flight was begun; undefined when none is. */
  writingSinceMs: number | undefined = undefined
  /** Made with the first packet: most clients are silent. */
  #tally: { -readonly [Name in keyof Tally]: number } | undefined = undefined

  private constructor(parts: OutboxParts, use: OutboxUse) {
    this.#parts = parts
    this.#use = use
  }

  static forClient(parts: OutboxParts): Outbox {
    return new Outbox(parts, CLIENT)
  }

  static forSibling(parts: OutboxParts): Outbox {
    return new Outbox(parts, SIBLING)
  }

  /** Queues the RecvPacket frame at packet.start; makes room by dropping this lane's oldest. */
  offerPacket(packet: AddressedPacket, nowMs: number): void {
    const frameBytes = packet.end - packet.start
    const lane = this.#roomFor(packet.kind, frameBytes)
    lane.push(packet.buffer, packet.start, packet.end, nowMs)
  }

  /** Queues a ForwardPacket frame; the packet's destination key is at packet.start. */
  offerForward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    const payloadBytes = KEY_BYTES + packet.end - packet.start
    const lane = this.#roomFor(packet.kind, HEADER_BYTES + payloadBytes)
    const { buffer, end } = lane.reserve(HEADER_BYTES + payloadBytes, nowMs)
    const payloadAt = end - payloadBytes
    buffer[payloadAt - HEADER_BYTES] = FrameType.forwardPacket
    writeU32(buffer, payloadAt - HEADER_BYTES + 1, payloadBytes)
    buffer.set(sourceKey, payloadAt)
    packet.buffer.copy(buffer, payloadAt + KEY_BYTES, packet.start, packet.end)
  }

  /** Makes room for a frame, which the caller adds to the lane at once. */
  #roomFor(kind: PacketKind, frameBytes: number): Lane {
    const { memoryBudget, limits, counters } = this.#parts
    const lane = this.#laneFor(kind)
    const bytesMax = this.#bytesMax(kind)
    while (
      lane.frameCount > 0 &&
      (lane.bytes + frameBytes > bytesMax || lane.frameCount >= limits.outboxPacketsMax)
    ) {
      this.#drop(lane, kind, memoryBudget.share < 1 ? DropReason.memory : this.#use.dropWhenFull)
    }
    counters.add(Counter.queuedPackets, 1)
    counters.add(Counter.queuedBytes, frameBytes)
    return lane
  }

  /** The share of the lane's own limit that there is memory for. */
  #bytesMax(kind: PacketKind): number {
    const { memoryBudget, limits } = this.#parts
    return memoryBudget.share * (kind === PacketKind.data ? limits.outboxBytesMax : this.#use.discoBytesMax)
  }

  /** Drops the packets beyond its share of the memory that is left. */
  shrink(): void {
    this.#shrink(this.#data, PacketKind.data)
    this.#shrink(this.#disco, PacketKind.disco)
  }

  #shrink(lane: Lane | undefined, kind: PacketKind): void {
    const bytesMax = this.#bytesMax(kind)
    while (lane !== undefined && lane.frameCount > 1 && lane.bytes > bytesMax) {
      this.#drop(lane, kind, DropReason.memory)
    }
  }

  /** Queues a frame that must not be lost. Returns false if too many wait. */
  offerControl(frame: Uint8Array, nowMs: number): boolean {
    this.#control ??= new Lane(this.#parts.pool)
    if (this.#control.bytes + frame.length > CONTROL_BYTES_MAX) return false
    const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    this.#control.push(buffer, 0, buffer.length, nowMs)
    return true
  }

  /** Writes one burst of the frames that wait, unless one is in flight. */
  flush(link: Pick<Link, 'write'>, nowMs: number): void {
    if (this.writingSinceMs !== undefined) return
    this.dropAged(nowMs)
    const first = this.#gather(nowMs)
    if (first === undefined) return
    this.#flight = first
    this.writingSinceMs = nowMs
    let isUsedUp = false
    let burstBytes = 0
    for (let chunk: Chunk | undefined = first; chunk !== undefined; chunk = chunk.next) {
      burstBytes += chunk.end - chunk.start
      isUsedUp = link.write(chunk.buffer.subarray(chunk.start, chunk.end), chunk.next === undefined)
    }
    this.#parts.counters.add(Counter.wireBytesOut, burstBytes)
    if (!isUsedUp) return
    this.#giveBackFlight()
    // The copy occupies the transport's memory until the system has taken it.
    this.#copiedBytes = burstBytes
    this.#parts.memoryBudget.addInFlight(burstBytes)
  }

  /** The burst has been taken by the system: its memory is given back. */
  written(): void {
    this.#giveBackFlight()
    this.#parts.memoryBudget.addInFlight(-this.#copiedBytes)
    this.#copiedBytes = 0
    this.writingSinceMs = undefined
  }

  get waitingBytes(): number {
    return (this.#data?.bytes ?? 0) + (this.#disco?.bytes ?? 0)
  }

  get waitingPackets(): number {
    return (this.#data?.frameCount ?? 0) + (this.#disco?.frameCount ?? 0)
  }

  /** What has happened so far, or since `takeTally`. */
  get tally(): Tally {
    return this.#tally ?? NOTHING
  }

  takeTally(): Tally {
    const { tally } = this
    this.#tally = undefined
    return tally
  }

  dropAged(nowMs: number): void {
    const data = this.#data
    while (data?.oldestMs !== undefined && nowMs - data.oldestMs > PACKET_AGE_MAX_MS) {
      this.#drop(data, PacketKind.data, DropReason.queueAge)
    }
  }

  /** Nothing waits, and no burst is in flight. */
  get isEmpty(): boolean {
    return this.writingSinceMs === undefined && this.waitingBytes === 0 && this.#control === undefined
  }

  /**
   * Drops everything that waits, because the destination is gone. A burst in flight stays until `written`.
   *
   * @param taker may take packets, which then are not dropped
   */
  close(taker = this.#parts.taker): void {
    while (this.#control !== undefined && this.#control.dropOldest() > 0);
    this.#dropAll(this.#disco, PacketKind.disco, taker)
    this.#dropAll(this.#data, PacketKind.data, taker)
  }

  #giveBackFlight(): void {
    for (let chunk = this.#flight; chunk !== undefined; chunk = chunk.next)
      this.#parts.pool.giveBack(chunk.buffer)
    this.#flight = undefined
  }

  #laneFor(kind: PacketKind): Lane {
    if (kind === PacketKind.data) return (this.#data ??= new Lane(this.#parts.pool, this.#use.chunkBytesMax))
    return (this.#disco ??= new Lane(this.#parts.pool))
  }

  #dropAll(lane: Lane | undefined, kind: PacketKind, taker: PacketTaker | undefined): void {
    if (lane === undefined) return
    // Not those that the taker may add.
    for (let left = lane.frameCount; left > 0; left--) {
      const { buffer, start } = lane.first as Chunk
      const end = start + HEADER_BYTES + readU32(buffer, start + 1)
      // Taken or not, the frame states its length where it lies.
      if (taker?.takeFrame(buffer, start, end) === true) this.#uncount(lane.dropOldest())
      else this.#drop(lane, kind, this.#use.dropAtEnd)
    }
  }

  /** Takes chunks off the lanes, control first, until the burst is full. Returns the first of them. */
  #gather(nowMs: number): Chunk | undefined {
    const burst: Burst = { first: undefined, last: undefined, bytes: 0 }
    if (this.#control !== undefined) this.#takeControl(this.#control, burst)
    if (this.#disco !== undefined) this.#takePackets(this.#disco, PacketKind.disco, burst, nowMs)
    if (this.#data !== undefined) this.#takePackets(this.#data, PacketKind.data, burst, nowMs)
    return burst.first
  }

  /** Control frames are few: an empty lane is dropped, and made again when there are any. */
  #takeControl(lane: Lane, burst: Burst): void {
    this.#take(lane, burst)
    if (lane.frameCount === 0) this.#control = undefined
  }

  #takePackets(lane: Lane, kind: PacketKind, burst: Burst, nowMs: number): void {
    const { bytes, frameCount, oldestMs } = lane
    if (oldestMs === undefined || burst.bytes >= this.#use.burstBytesMax) return
    this.#take(lane, burst)
    this.#countSent(kind, frameCount - lane.frameCount, bytes - lane.bytes)
    const delayMs = nowMs - oldestMs
    const tally = (this.#tally ??= { ...NOTHING })
    if (delayMs > tally.delayMs) tally.delayMs = delayMs
    this.#parts.counters.observe('queueDelay', delayMs / 1_000)
  }

  #take(lane: Lane, burst: Burst): void {
    while (burst.bytes < this.#use.burstBytesMax) {
      const chunk = lane.takeChunk()
      if (chunk === undefined) return
      if (burst.last === undefined) burst.first = chunk
      else burst.last.next = chunk
      burst.last = chunk
      burst.bytes += chunk.end - chunk.start
    }
  }

  #countSent(kind: PacketKind, frames: number, bytes: number): void {
    const { sent, sentBytes, overheadBytes } = this.#use
    const packetBytes = bytes - frames * overheadBytes
    const tally = (this.#tally ??= { ...NOTHING })
    tally.packets += frames
    tally.bytes += packetBytes
    this.#parts.counters.add(sent[kind], frames)
    this.#parts.counters.add(sentBytes[kind], packetBytes)
    this.#parts.counters.add(Counter.queuedPackets, -frames)
    this.#parts.counters.add(Counter.queuedBytes, -bytes)
  }

  #drop(lane: Lane, kind: PacketKind, reason: DropReason): void {
    const frameBytes = lane.dropOldest()
    const tally = (this.#tally ??= { ...NOTHING })
    tally.dropped++
    this.#parts.counters.countDrop(reason, kind, frameBytes - this.#use.overheadBytes)
    this.#uncount(frameBytes)
  }

  #uncount(frameBytes: number): void {
    this.#parts.counters.add(Counter.queuedPackets, -1)
    this.#parts.counters.add(Counter.queuedBytes, -frameBytes)
  }
}
