// A one-way byte pipe from one relay thread to another, in shared memory: one writer, one reader, no locks,
// no messages. Carries whole DERP frames. Full is full: the writer is told and decides what that means.
//
//   indices:  [0] read up to here      [16] written up to here      (64 bytes apart: no false sharing)
//   bytes:    ····[frame][frame][fra    …wraps…    me]····
//
// Contract: exactly one thread writes and exactly one reads. Both indices only grow (modulo 2^32).

import type { FrameReader } from '#protocol/frame-reader.ts'

const READ_AT = 0
const WRITE_AT = 16
const INDEX_BYTES = 128
/** Half a millisecond of a saturated relay, and sixteen of the largest packets. A power of two. */
const CAPACITY_BYTES = 1_048_576

/** The memory of one crossing, all zero, to be given to both threads. */
export function crossingMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(INDEX_BYTES + CAPACITY_BYTES)
}

export class CrossingWriter {
  readonly #indices: Int32Array
  readonly #bytes: Buffer
  #written: number

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, INDEX_BYTES / 4)
    this.#bytes = Buffer.from(memory, INDEX_BYTES)
    this.#written = Atomics.load(this.#indices, WRITE_AT)
  }

  /** Whether a frame of `bytes` bytes fits now. */
  hasRoom(bytes: number): boolean {
    const waiting = (this.#written - Atomics.load(this.#indices, READ_AT)) >>> 0
    return waiting + bytes <= CAPACITY_BYTES
  }

  /** Adds a part of a frame; the caller has made sure of room for all of it. Not visible yet. */
  put(source: Buffer, start: number, end: number): void {
    const at = (this.#written >>> 0) % CAPACITY_BYTES
    const first = Math.min(end - start, CAPACITY_BYTES - at)
    source.copy(this.#bytes, at, start, start + first)
    if (start + first < end) source.copy(this.#bytes, 0, start + first, end)
    this.#written = (this.#written + end - start) | 0
  }

  /** Lets the reader see all that was put. */
  publish(): void {
    Atomics.store(this.#indices, WRITE_AT, this.#written)
  }
}

export class CrossingReader {
  readonly #indices: Int32Array
  readonly #bytes: Buffer

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, INDEX_BYTES / 4)
    this.#bytes = Buffer.from(memory, INDEX_BYTES)
  }

  /**
   * Feeds all that is there at the call to `frames`, and makes its room free again. What is written meanwhile is
   * left for the next call, so that a busy writer can't keep the reader from its other work.
   */
  drain(frames: FrameReader): void {
    let read = Atomics.load(this.#indices, READ_AT)
    let waiting = (Atomics.load(this.#indices, WRITE_AT) - read) >>> 0
    while (waiting > 0) {
      const at = (read >>> 0) % CAPACITY_BYTES
      const bytes = Math.min(waiting, CAPACITY_BYTES - at)
      frames.feed(this.#bytes, at, at + bytes)
      waiting -= bytes
      read = (read + bytes) | 0
      Atomics.store(this.#indices, READ_AT, read)
    }
  }
}

/** Tells a thread that something lies in its crossings, however many; sleepers wake at once. */
export class Bell {
  readonly #word: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  }

  ring(): void {
    Atomics.add(this.#word, 0, 1)
    Atomics.notify(this.#word, 0)
  }

  /** How often it has rung; pass it to `wait`. */
  count(): number {
    return Atomics.load(this.#word, 0)
  }

  /** Settles at the first ring after `count` was taken. */
  async wait(count: number): Promise<void> {
    await Atomics.waitAsync(this.#word, 0, count).value
  }
}
