// A one-way pipe of frames from one relay thread to another, in shared memory: one writer, one reader, no locks, no
// messages. When the ring is full the writer is told and decides what that means. A frame always lies in one piece, so
// that it is read, and may be changed, where it lies: one that begins before the end of the ring runs on into the slack
// behind it, and the next one begins as far after the ring's start.
//
//   indices:  [0] read up to here      [16] written up to here      (64 bytes apart: no false sharing)
//   bytes:    ····[frame][frame][frame][fra|me]····                 | is where the ring ends and the slack begins
//
// Contract: exactly one thread writes and exactly one reads. Both indices only grow (modulo 2^32), and always lie
// between frames: a thread may die at any point, and what it leaves is whole frames.

import { byteAt, readU32 } from '#protocol/bytes.ts'
import { FORWARD_PACKET_BYTES_MAX, HEADER_BYTES } from '#protocol/limits.ts'

const READ_AT = 0
const WRITE_AT = 16
const INDEX_BYTES = 128
/** Half a millisecond of a saturated relay, and sixteen of the largest packets. A power of two. */
export const RING_BYTES = 1_048_576
/** The largest frame. */
const SLACK_BYTES = HEADER_BYTES + FORWARD_PACKET_BYTES_MAX
/** The reader frees room after so many bytes, so that a writer that waits for it need not wait for all. */
const FREED_BYTES = 65_536

/** The memory of one ring, all zero, to be given to both threads. */
export function ringMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(INDEX_BYTES + RING_BYTES + SLACK_BYTES)
}

/** Consumes the frames; `buffer` may be changed from `start - 5` to `end`, and is borrowed for the call. */
export interface RingSink {
  onFrame(type: number, buffer: Buffer, start: number, end: number): void
}

export class RingWriter {
  /** Where frames are written: at the position that `reserve` has returned. */
  readonly bytes: Buffer
  readonly #indices: Int32Array
  #written: number
  #reserved = 0
  /** How far the reader was when last looked at; it is further by now, never less far. */
  #readSeen: number

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, INDEX_BYTES / 4)
    this.bytes = Buffer.from(memory, INDEX_BYTES)
    this.#written = Atomics.load(this.#indices, WRITE_AT)
    this.#readSeen = Atomics.load(this.#indices, READ_AT)
  }

  /** Where in `bytes` a frame of `frameBytes` bytes, header included, goes; -1 if it does not fit now. */
  reserve(frameBytes: number): number {
    if (!this.#fits(frameBytes)) {
      this.#readSeen = this.readAt
      if (!this.#fits(frameBytes)) return -1
    }
    this.#reserved = frameBytes
    return (this.#written >>> 0) % RING_BYTES
  }

  /** Lets the reader see the frame that was reserved, and has been written, last. */
  publish(): void {
    this.#written = (this.#written + this.#reserved) | 0
    this.#reserved = 0
    Atomics.store(this.#indices, WRITE_AT, this.#written)
  }

  /**
   * Gives what the reader has not read to `sink`; for when the reader's thread has ended. Nothing is written after
   * this.
   */
  reclaim(sink: RingSink): void {
    drain(this.#indices, this.bytes, sink)
  }

  /** Whether more than so many bytes wait to be read. */
  holdsMoreThan(bytes: number): boolean {
    if (this.#waiting <= bytes) return false
    this.#readSeen = this.readAt
    return this.#waiting > bytes
  }

  /** How far the reader is; changes as it reads. */
  get readAt(): number {
    return Atomics.load(this.#indices, READ_AT)
  }

  /** Bytes that wait, as far as is known. */
  get #waiting(): number {
    return (this.#written - this.#readSeen) >>> 0
  }

  #fits(frameBytes: number): boolean {
    return this.#waiting + frameBytes <= RING_BYTES && frameBytes <= SLACK_BYTES
  }
}

export class RingReader {
  readonly #indices: Int32Array
  readonly #bytes: Buffer

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, INDEX_BYTES / 4)
    this.#bytes = Buffer.from(memory, INDEX_BYTES)
  }

  /** Whether there is anything to read. */
  get hasFrames(): boolean {
    return Atomics.load(this.#indices, WRITE_AT) !== Atomics.load(this.#indices, READ_AT)
  }

  /**
   * Gives everything that is there at the call to `sink`, and makes its room free again. What is written meanwhile is
   * left for the next call, so that a busy writer can't keep the reader from its other work.
   */
  drain(sink: RingSink): void {
    drain(this.#indices, this.#bytes, sink)
  }
}

function drain(indices: Int32Array, bytes: Buffer, sink: RingSink): void {
  const written = Atomics.load(indices, WRITE_AT)
  let freed = Atomics.load(indices, READ_AT)
  let read = freed
  while (read !== written) {
    const at = (read >>> 0) % RING_BYTES
    const start = at + HEADER_BYTES
    const payloadBytes = readU32(bytes, at + 1)
    sink.onFrame(byteAt(bytes, at), bytes, start, start + payloadBytes)
    read = (read + HEADER_BYTES + payloadBytes) | 0
    if ((read - freed) >>> 0 < FREED_BYTES) continue
    freed = read
    Atomics.store(indices, READ_AT, freed)
  }
  if (freed !== read) Atomics.store(indices, READ_AT, read)
}
