// What waits to leave on one session: control frames, disco packets and data packets, each in a lane of its
// own, written in that order. The only door by which bytes leave a session, so limits, drops and counters
// can't be bypassed. Bounded: a full packet lane drops its oldest; a full control lane ends the session.
//
//   control ─┐
//   disco   ─┼─ flush ─→ one burst in flight ─→ link        nothing is flushed while a burst is in flight,
//   data    ─┘                                              so what waits, waits here and can be dropped

import type { BufferPool } from '#protocol/buffer-pool.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import { DropReason, PacketKind } from './drop-reason.ts'
import { Lane, type Chunk } from './lane.ts'
import type { Packet } from './packet.ts'
import type { Link } from './ports.ts'

/** One burst: several full TLS records, and what a link of half a megabit takes in the usual time limit of 2 s. */
const BURST_BYTES_MAX = 65_536
/** Disco messages are small and periodic; 64 KiB holds several hundred. */
const DISCO_BYTES_MAX = 65_536
/** Pongs, departures and the like. A watcher of 10,000 peers is owed 600 KB at once; nobody is owed 16 MiB. */
const CONTROL_BYTES_MAX = 16_777_216
/** A tunnel's packet that has waited for a second has been sent again by its owner. */
const PACKET_AGE_MAX_MS = 1_000
/** What a packet's frame has besides the packet. */
const FRAME_OVERHEAD_BYTES = HEADER_BYTES + KEY_BYTES

export interface OutboxLimits {
  /** Bytes of data frames that may wait. */
  readonly outboxBytesMax: number
  /** Frames that may wait on each packet lane. */
  readonly outboxPacketsMax: number
}

/** Chunks on their way out. */
interface Burst {
  first: Chunk | undefined
  last: Chunk | undefined
  bytes: number
}

/** What the outboxes of one thread have in common. */
export interface OutboxParts {
  readonly pool: BufferPool
  readonly limits: OutboxLimits
  readonly counters: Counters
}

export class Outbox {
  readonly #parts: OutboxParts
  // Made when first used: most clients never have any but control frames to wait.
  #control: Lane | undefined = undefined
  #data: Lane | undefined = undefined
  #disco: Lane | undefined = undefined
  /** What the link still reads of the burst in flight. */
  #flight: Chunk | undefined = undefined
  /** When the burst in flight was begun; undefined when none is. */
  writingSinceMs: number | undefined = undefined

  constructor(parts: OutboxParts) {
    this.#parts = parts
  }

  /** Queues the RecvPacket frame at packet.start; makes room by dropping this lane's oldest. */
  offerPacket(packet: Packet, nowMs: number): void {
    const { limits, counters } = this.#parts
    const lane = this.#laneFor(packet.kind)
    const frameBytes = packet.end - packet.start
    const bytesMax = packet.kind === PacketKind.data ? limits.outboxBytesMax : DISCO_BYTES_MAX
    while (
      lane.frameCount > 0 &&
      (lane.bytes + frameBytes > bytesMax || lane.frameCount >= limits.outboxPacketsMax)
    ) {
      this.#drop(lane, packet.kind, DropReason.queueHead)
    }
    lane.push(packet.buffer, packet.start, packet.end, nowMs)
    counters.add(Counter.queuedPackets, 1)
    counters.add(Counter.queuedBytes, frameBytes)
  }

  /** Queues a frame that must not be lost; false when the remote has let too many pile up. */
  offerControl(frame: Uint8Array, nowMs: number): boolean {
    this.#control ??= new Lane(this.#parts.pool)
    if (this.#control.bytes + frame.length > CONTROL_BYTES_MAX) return false
    const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    this.#control.push(buffer, 0, buffer.length, nowMs)
    return true
  }

  /** Writes one burst of what waits, unless one is in flight. */
  flush(link: Link, nowMs: number): void {
    if (this.writingSinceMs !== undefined) return
    this.#dropAged(nowMs)
    const first = this.#gather(nowMs)
    if (first === undefined) return
    this.#flight = first
    this.writingSinceMs = nowMs
    let isUsedUp = false
    for (let chunk: Chunk | undefined = first; chunk !== undefined; chunk = chunk.next) {
      this.#parts.counters.add(Counter.wireBytesOut, chunk.end - chunk.start)
      isUsedUp = link.write(chunk.buffer.subarray(chunk.start, chunk.end), chunk.next === undefined)
    }
    if (isUsedUp) this.#giveBackFlight()
  }

  /** The burst has been taken by the system: its memory is given back. */
  written(): void {
    this.#giveBackFlight()
    this.writingSinceMs = undefined
  }

  /** Drops all that waits, because the destination is gone. A burst in flight stays until `written`. */
  close(): void {
    while (this.#control !== undefined && this.#control.dropOldest() > 0);
    this.#dropAll(this.#disco, PacketKind.disco)
    this.#dropAll(this.#data, PacketKind.data)
  }

  #giveBackFlight(): void {
    for (let chunk = this.#flight; chunk !== undefined; chunk = chunk.next)
      this.#parts.pool.giveBack(chunk.buffer)
    this.#flight = undefined
  }

  #laneFor(kind: PacketKind): Lane {
    if (kind === PacketKind.data) return (this.#data ??= new Lane(this.#parts.pool))
    return (this.#disco ??= new Lane(this.#parts.pool))
  }

  #dropAll(lane: Lane | undefined, kind: PacketKind): void {
    while (lane !== undefined && lane.frameCount > 0) this.#drop(lane, kind, DropReason.goneDisconnected)
  }

  /** Takes chunks off the lanes, control first, until the burst is full. Returns the first of them. */
  #gather(nowMs: number): Chunk | undefined {
    const burst: Burst = { first: undefined, last: undefined, bytes: 0 }
    if (this.#control !== undefined) this.#takeControl(this.#control, burst)
    if (this.#disco !== undefined) this.#takePackets(this.#disco, PacketKind.disco, burst, nowMs)
    if (this.#data !== undefined) this.#takePackets(this.#data, PacketKind.data, burst, nowMs)
    return burst.first
  }

  /** Control frames are few: a lane for them is made again when there are any. */
  #takeControl(lane: Lane, burst: Burst): void {
    this.#take(lane, burst)
    if (lane.frameCount === 0) this.#control = undefined
  }

  #takePackets(lane: Lane, kind: PacketKind, burst: Burst, nowMs: number): void {
    const { bytes, frameCount, oldestMs } = lane
    if (oldestMs === undefined || burst.bytes >= BURST_BYTES_MAX) return
    this.#take(lane, burst)
    this.#countSent(kind, frameCount - lane.frameCount, bytes - lane.bytes)
    this.#parts.counters.observe('queueDelay', (nowMs - oldestMs) / 1_000)
  }

  #take(lane: Lane, burst: Burst): void {
    while (burst.bytes < BURST_BYTES_MAX) {
      const chunk = lane.takeChunk()
      if (chunk === undefined) return
      if (burst.last === undefined) burst.first = chunk
      else burst.last.next = chunk
      burst.last = chunk
      burst.bytes += chunk.end - chunk.start
    }
  }

  #countSent(kind: PacketKind, frames: number, bytes: number): void {
    const isDisco = kind === PacketKind.disco
    this.#parts.counters.add(isDisco ? Counter.sentDisco : Counter.sentData, frames)
    this.#parts.counters.add(
      isDisco ? Counter.sentBytesDisco : Counter.sentBytesData,
      bytes - frames * FRAME_OVERHEAD_BYTES,
    )
    this.#parts.counters.add(Counter.queuedPackets, -frames)
    this.#parts.counters.add(Counter.queuedBytes, -bytes)
  }

  #dropAged(nowMs: number): void {
    const data = this.#data
    while (data?.oldestMs !== undefined && nowMs - data.oldestMs > PACKET_AGE_MAX_MS) {
      this.#drop(data, PacketKind.data, DropReason.queueAge)
    }
  }

  #drop(lane: Lane, kind: PacketKind, reason: DropReason): void {
    const frameBytes = lane.dropOldest()
    this.#parts.counters.countDrop(reason, kind, frameBytes - FRAME_OVERHEAD_BYTES)
    this.#parts.counters.add(Counter.queuedPackets, -1)
    this.#parts.counters.add(Counter.queuedBytes, -frameBytes)
  }
}
