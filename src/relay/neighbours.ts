// The other threads of this relay, as one of them sees them. They tell each other who connects and leaves,
// and hand over packets, in the mesh's own frames through shared memory; so a packet can never overtake the
// news of its sender. A relay of one thread has no neighbours and pays nothing.
//
// Contract: news is never lost (what does not fit waits here); packets that do not fit are refused.

import { BufferPool } from '#protocol/buffer-pool.ts'
import { readU32, writeU32 } from '#protocol/bytes.ts'
import { FrameReader, Verdict, type FrameSink } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Bell, CrossingReader, CrossingWriter } from './crossing.ts'
import type { Packet } from './packet.ts'

/** News between threads that has no frame in the mesh: 32 B key, 4 B count of activity. Never on a wire. */
const CLAIM = 0x80
const CLAIM_BYTES = 4

/** What a thread hears from its neighbours. */
export interface NeighbourListener {
  presentElsewhere(thread: number, key: Uint8Array, presentFrame: Uint8Array, claim: number): void
  claimedElsewhere(thread: number, key: Uint8Array, claim: number): void
  goneElsewhere(thread: number, key: Uint8Array): void
  closePeer(key: Uint8Array): void
  /** Payload as in ForwardPacket, borrowed. */
  packet(buffer: Buffer, start: number, end: number): void
}

/** Everything that the threads of one relay share to reach each other. */
export interface ThreadMemory {
  readonly index: number
  /** A count of activity common to all. */
  readonly claims: SharedArrayBuffer
  /** Each thread's bell, by index. */
  readonly bells: readonly SharedArrayBuffer[]
  /** Memory of the crossing from thread a to thread b at [a][b]; nothing at [a][a]. */
  readonly crossings: readonly (readonly (SharedArrayBuffer | undefined)[])[]
}

/** One neighbour: a crossing each way, and the news that waits for room. */
interface Neighbour {
  readonly thread: number
  readonly writer: CrossingWriter
  readonly reader: CrossingReader
  readonly frames: FrameReader
  readonly bell: Bell
  readonly backlog: Buffer[]
  isRung: boolean
}

export interface NeighbourParts {
  /** Who hears; asked for only when a neighbour speaks, since it is itself made with this. */
  readonly listener: () => NeighbourListener
  /** Asks for a call of `flush` at the end of this turn of the loop. */
  readonly wake: () => void
}

export class Neighbours {
  readonly index: number
  readonly bell: Bell
  readonly #claims: Int32Array
  readonly #neighbours: readonly Neighbour[]
  readonly #byThread: readonly (Neighbour | undefined)[]
  readonly #header = Buffer.alloc(HEADER_BYTES + KEY_BYTES)
  readonly #wake: () => void
  #isDraining = false

  constructor(memory: ThreadMemory, parts: NeighbourParts) {
    this.index = memory.index
    this.#wake = parts.wake
    this.bell = new Bell(memory.bells[memory.index] ?? Bell.memory())
    this.#claims = new Int32Array(memory.claims)
    this.#byThread = memory.bells.map((bell, thread) => neighbour(memory, thread, bell, parts.listener))
    this.#neighbours = this.#byThread.filter((one) => one !== undefined)
  }

  /** A relay of one thread. */
  static none(): Neighbours {
    const memory = { index: 0, claims: new SharedArrayBuffer(4), bells: [Bell.memory()], crossings: [[]] }
    const listener = (): never => {
      throw new Error('a single thread has no neighbours to hear from')
    }
    return new Neighbours(memory, { listener, wake: () => undefined })
  }

  get count(): number {
    return this.#neighbours.length
  }

  nextClaim(): number {
    return (Atomics.add(this.#claims, 0, 1) + 1) | 0
  }

  present(presentFrame: Uint8Array, claim: number): void {
    if (this.#neighbours.length === 0) return
    const frame = Buffer.alloc(presentFrame.length + CLAIM_BYTES)
    frame.set(presentFrame)
    writeU32(frame, 1, frame.length - HEADER_BYTES)
    writeU32(frame, presentFrame.length, claim >>> 0)
    this.#tellAll(frame)
  }

  claim(key: Uint8Array, claim: number): void {
    const frame = keyFrame(CLAIM, key, CLAIM_BYTES)
    writeU32(frame, HEADER_BYTES + KEY_BYTES, claim >>> 0)
    this.#tellAll(frame)
  }

  gone(key: Uint8Array): void {
    this.#tellAll(keyFrame(FrameType.peerGone, key, 0))
  }

  closePeer(key: Uint8Array): void {
    this.#tellAll(keyFrame(FrameType.closePeer, key, 0))
  }

  /** Hands over a packet; from packet.start on lie destination key and packet. False: no room. */
  sendPacket(thread: number, sourceKey: Uint8Array, packet: Packet): boolean {
    const to = this.#byThread[thread]
    const frameBytes = HEADER_BYTES + KEY_BYTES + packet.end - packet.start
    if (to === undefined || to.backlog.length > 0 || !to.writer.hasRoom(frameBytes)) return false
    this.#header[0] = FrameType.forwardPacket
    writeU32(this.#header, 1, frameBytes - HEADER_BYTES)
    this.#header.set(sourceKey, HEADER_BYTES)
    to.writer.put(this.#header, 0, HEADER_BYTES + KEY_BYTES)
    to.writer.put(packet.buffer, packet.start, packet.end)
    to.writer.publish()
    this.#ringSoon(to)
    return true
  }

  /** Wakes the neighbours that were written to; once per turn of the loop is enough. */
  flush(): void {
    for (const to of this.#neighbours) {
      this.#retryBacklog(to)
      if (to.isRung) continue
      to.isRung = true
      to.bell.ring()
    }
  }

  /** Whether news waits for room at a neighbour, so that `flush` must be called again soon. */
  get hasBacklog(): boolean {
    return this.#neighbours.some((to) => to.backlog.length > 0)
  }

  /** Whether what the neighbours have written is being read just now. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Reads all that the neighbours have written. False if there are none, or this is already under way. */
  drain(): boolean {
    if (this.#isDraining || this.#neighbours.length === 0) return false
    this.#isDraining = true
    for (const from of this.#neighbours) from.reader.drain(from.frames)
    this.#isDraining = false
    return true
  }

  #tellAll(frame: Buffer): void {
    for (const to of this.#neighbours) {
      if (to.backlog.length > 0 || !to.writer.hasRoom(frame.length)) {
        to.backlog.push(frame)
      } else {
        to.writer.put(frame, 0, frame.length)
        to.writer.publish()
      }
      this.#ringSoon(to)
    }
  }

  #ringSoon(to: Neighbour): void {
    if (!to.isRung) return
    to.isRung = false
    this.#wake()
  }

  #retryBacklog(to: Neighbour): void {
    let sent = 0
    for (const frame of to.backlog) {
      if (!to.writer.hasRoom(frame.length)) break
      to.writer.put(frame, 0, frame.length)
      to.writer.publish()
      sent++
    }
    if (sent > 0) {
      to.backlog.splice(0, sent)
      to.isRung = false
    }
  }
}

function neighbour(
  memory: ThreadMemory,
  thread: number,
  bell: SharedArrayBuffer,
  listener: () => NeighbourListener,
): Neighbour | undefined {
  const outgoing = memory.crossings[memory.index]?.[thread]
  const incoming = memory.crossings[thread]?.[memory.index]
  if (outgoing === undefined || incoming === undefined) return undefined
  return {
    thread,
    writer: new CrossingWriter(outgoing),
    reader: new CrossingReader(incoming),
    frames: new FrameReader(new NewsSink(thread, listener), new BufferPool()),
    bell: new Bell(bell),
    backlog: [],
    isRung: true,
  }
}

function keyFrame(type: number, key: Uint8Array, moreBytes: number): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + KEY_BYTES + moreBytes)
  frame[0] = type
  writeU32(frame, 1, frame.length - HEADER_BYTES)
  frame.set(key, HEADER_BYTES)
  return frame
}

/** Reads one neighbour's frames. What a thread of our own writes is trusted. */
class NewsSink implements FrameSink {
  readonly #thread: number
  readonly #listener: () => NeighbourListener

  constructor(thread: number, listener: () => NeighbourListener) {
    this.#thread = thread
    this.#listener = listener
  }

  onHeader(): Verdict {
    return Verdict.take
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    const listener = this.#listener()
    if (type === FrameType.forwardPacket) {
      listener.packet(buffer, start, end)
      return true
    }
    const key = Uint8Array.prototype.slice.call(buffer, start, start + KEY_BYTES)
    const claim = readU32(buffer, end - CLAIM_BYTES) | 0
    if (type === FrameType.peerPresent) {
      const presentFrame = new Uint8Array(buffer.subarray(start - HEADER_BYTES, end - CLAIM_BYTES))
      writeU32(presentFrame, 1, presentFrame.length - HEADER_BYTES)
      listener.presentElsewhere(this.#thread, key, presentFrame, claim)
    } else if (type === CLAIM) {
      listener.claimedElsewhere(this.#thread, key, claim)
    } else if (type === FrameType.peerGone) {
      listener.goneElsewhere(this.#thread, key)
    } else if (type === FrameType.closePeer) {
      listener.closePeer(key)
    }
    return true
  }
}
