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

export class Outbox {
  readonly #limits: OutboxLimits
  readonly #counters: Counters
  readonly #pool: BufferPool
  readonly #control: Lane
  readonly #lanes: readonly [data: Lane, disco: Lane]
  #flight: Chunk | undefined = undefined
  /** When the burst in flight was begun; undefined when none is. */
  writingSinceMs: number | undefined = undefined

  constructor(pool: BufferPool, limits: OutboxLimits, counters: Counters) {
    this.#pool = pool
    this.#limits = limits
    this.#counters = counters
    this.#control = new Lane(pool)
    this.#lanes = [new Lane(pool), new Lane(pool)]
  }

  /** Queues the RecvPacket frame at packet.start; makes room by dropping this lane's oldest. */
  offerPacket(packet: Packet, nowMs: number): void {
    const lane = this.#lanes[packet.kind]
    const frameBytes = packet.end - packet.start
    const bytesMax = packet.kind === PacketKind.data ? this.#limits.outboxBytesMax : DISCO_BYTES_MAX
    while (
      lane.frameCount > 0 &&
      (lane.bytes + frameBytes > bytesMax || lane.frameCount >= this.#limits.outboxPacketsMax)
    ) {
      this.#drop(lane, packet.kind, DropReason.queueHead)
    }
    lane.push(packet.buffer, packet.start, packet.end, nowMs)
    this.#counters.add(Counter.queuedPackets, 1)
    this.#counters.add(Counter.queuedBytes, frameBytes)
  }

  /** Queues a frame that must not be lost; false when the remote has let too many pile up. */
  offerControl(frame: Uint8Array, nowMs: number): boolean {
    if (this.#control.bytes + frame.length > CONTROL_BYTES_MAX) return false
    const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    this.#control.push(buffer, 0, buffer.length, nowMs)
    return true
  }

  /** Writes one burst of what waits, unless one is in flight. */
  flush(link: Link, nowMs: number): void {
    if (this.#flight !== undefined) return
    this.#dropAged(nowMs)
    const first = this.#gather(nowMs)
    if (first === undefined) return
    this.#flight = first
    this.writingSinceMs = nowMs
    for (let chunk: Chunk | undefined = first; chunk !== undefined; chunk = chunk.next) {
      this.#counters.add(Counter.wireBytesOut, chunk.end - chunk.start)
      link.write(chunk.buffer.subarray(chunk.start, chunk.end), chunk.next === undefined)
    }
  }

  /** The burst has been taken by the system: its memory is given back. */
  written(): void {
    for (let chunk = this.#flight; chunk !== undefined; chunk = chunk.next) this.#pool.giveBack(chunk.buffer)
    this.#flight = undefined
    this.writingSinceMs = undefined
  }

  /** Drops all that waits, because the destination is gone. A burst in flight stays until `written`. */
  close(): void {
    while (this.#control.dropOldest() > 0);
    for (const kind of [PacketKind.data, PacketKind.disco]) {
      while (this.#lanes[kind].frameCount > 0)
        this.#drop(this.#lanes[kind], kind, DropReason.goneDisconnected)
    }
  }

  /** Takes chunks off the lanes, control first, until the burst is full. Returns the first of them. */
  #gather(nowMs: number): Chunk | undefined {
    const burst: { first: Chunk | undefined; last: Chunk | undefined; bytes: number } = {
      first: undefined,
      last: undefined,
      bytes: 0,
    }
    this.#take(this.#control, burst)
    for (const kind of [PacketKind.disco, PacketKind.data] as const) {
      const lane = this.#lanes[kind]
      const { bytes, frameCount, oldestMs } = lane
      if (frameCount === 0 || burst.bytes >= BURST_BYTES_MAX) continue
      this.#take(lane, burst)
      this.#countSent(kind, frameCount - lane.frameCount, bytes - lane.bytes)
      if (oldestMs !== undefined) this.#counters.observe('queueDelay', (nowMs - oldestMs) / 1_000)
    }
    return burst.first
  }

  #take(lane: Lane, burst: { first: Chunk | undefined; last: Chunk | undefined; bytes: number }): void {
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
    this.#counters.add(isDisco ? Counter.sentDisco : Counter.sentData, frames)
    this.#counters.add(
      isDisco ? Counter.sentBytesDisco : Counter.sentBytesData,
      bytes - frames * FRAME_OVERHEAD_BYTES,
    )
    this.#counters.add(Counter.queuedPackets, -frames)
    this.#counters.add(Counter.queuedBytes, -bytes)
  }

  #dropAged(nowMs: number): void {
    const data = this.#lanes[PacketKind.data]
    while (data.oldestMs !== undefined && nowMs - data.oldestMs > PACKET_AGE_MAX_MS) {
      this.#drop(data, PacketKind.data, DropReason.queueAge)
    }
  }

  #drop(lane: Lane, kind: PacketKind, reason: DropReason): void {
    const frameBytes = lane.dropOldest()
    this.#counters.countDrop(reason, kind, frameBytes - FRAME_OVERHEAD_BYTES)
    this.#counters.add(Counter.queuedPackets, -1)
    this.#counters.add(Counter.queuedBytes, -frameBytes)
  }
}
