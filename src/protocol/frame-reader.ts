// Cuts a byte stream into DERP frames. A frame that lies whole in the chunk is passed on as it lies there;
// only one that crosses chunks is copied, into a rented buffer that is given back with the frame. Not a
// validator: the sink sees every header first and says whether the frame is taken, skipped or refused.
//
//   chunk:  ····[type|length|payload][type|length|payl      onFrame, then carry = [type|length|payl
//   chunk:  oad][type|len                                    onFrame from the carry, then carry = [type|len
//
// Contract: a chunk is borrowed for the call. The buffer given to onFrame may be changed by the sink, from
// five bytes before the payload (the frame's own header) to the payload's end.

import type { BufferPool } from './buffer-pool.ts'
import { byteAt, readU32 } from './bytes.ts'
import { HEADER_BYTES } from './limits.ts'

/** What to do with a frame, decided from its header. */
export const FrameVerdict = { take: 0, skip: 1, refuse: 2 } as const
export type FrameVerdict = (typeof FrameVerdict)[keyof typeof FrameVerdict]

/** Who consumes the frames. */
export interface FrameSink {
  /** Decides from type and payload length alone, before any payload is kept. */
  onHeader(type: number, payloadBytes: number): FrameVerdict
  /** A whole frame; payload at [start, end), header in the five bytes before. False stops reading here. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean
}

export class FrameReader {
  readonly #sink: FrameSink
  readonly #pool: BufferPool
  #carry: Buffer | undefined = undefined
  #carryBytes = 0
  #frameBytes = 0
  #skipBytes = 0
  #refused = false

  constructor(sink: FrameSink, pool: BufferPool) {
    this.#sink = sink
    this.#pool = pool
  }

  /**
   * Reads chunk[start, end) and returns where it stopped: `end`, or the end of the frame after which the
   * sink said false (call again with the rest), or the start of a refused frame. After a refusal nothing
   * more is read.
   */
  feed(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.#refused) {
      let next: number
      if (this.#skipBytes > 0) next = this.#skip(at, end)
      else if (this.#carry !== undefined) next = this.#completeCarry(chunk, at, end)
      else next = this.#readWhole(chunk, at, end)
      if (next < 0) return ~next
      at = next
    }
    return at
  }

  /** The sink refused a frame, or the reader is closed: nothing more will be read. */
  get isRefused(): boolean {
    return this.#refused
  }

  /** Bytes of a frame of which the rest has not come. */
  get keptBytes(): number {
    return this.#carry === undefined ? 0 : this.#carryBytes
  }

  /** Gives back what is held. Nothing more is read; the sink may call this from within its own methods. */
  close(): void {
    this.#refused = true
    if (this.#carry !== undefined) this.#pool.giveBack(this.#carry)
    this.#carry = undefined
  }

  #skip(at: number, end: number): number {
    const skipped = Math.min(this.#skipBytes, end - at)
    this.#skipBytes -= skipped
    return at + skipped
  }

  /** Reads a frame where it lies; returns where reading goes on, or ~position to stop there. */
  #readWhole(chunk: Buffer, at: number, end: number): number {
    if (end - at < HEADER_BYTES) return this.#keep(chunk, at, end, HEADER_BYTES)
    const type = byteAt(chunk, at)
    const payloadBytes = readU32(chunk, at + 1)
    if (!this.#admit(type, payloadBytes)) return this.#refused ? ~at : at + HEADER_BYTES
    const frameEnd = at + HEADER_BYTES + payloadBytes
    if (frameEnd > end) return this.#keep(chunk, at, end, HEADER_BYTES + payloadBytes)
    return this.#sink.onFrame(type, chunk, at + HEADER_BYTES, frameEnd) ? frameEnd : ~frameEnd
  }

  /** True: the frame is taken. False: skipped from here on, or refused for good (or closed by the sink). */
  #admit(type: number, payloadBytes: number): boolean {
    const verdict = this.#sink.onHeader(type, payloadBytes)
    if (verdict === FrameVerdict.take) return !this.#refused
    if (verdict === FrameVerdict.skip) this.#skipBytes = payloadBytes
    else this.#refused = true
    return false
  }

  #keep(chunk: Buffer, at: number, end: number, frameBytes: number): number {
    this.#carry = this.#pool.rent(end - at)
    chunk.copy(this.#carry, 0, at, end)
    this.#carryBytes = end - at
    this.#frameBytes = frameBytes
    return end
  }

  /** Adds to the carried frame; returns where reading goes on, or ~position to stop there. */
  #completeCarry(chunk: Buffer, start: number, end: number): number {
    let at = start
    if (this.#carryBytes < HEADER_BYTES) {
      at = this.#append(chunk, at, end, HEADER_BYTES)
      if (this.#carryBytes < HEADER_BYTES) return ~at
      const carry = this.#carry as Buffer
      const payloadBytes = readU32(carry, 1)
      if (!this.#admit(byteAt(carry, 0), payloadBytes)) {
        // A sink that closed the reader has had the carry given back already.
        if (this.#carry !== undefined) this.#dropCarry(carry)
        return this.#refused ? ~at : at
      }
      this.#frameBytes = HEADER_BYTES + payloadBytes
    }
    at = this.#append(chunk, at, end, this.#frameBytes)
    if (this.#carryBytes < this.#frameBytes) return ~at
    const carry = this.#carry as Buffer
    this.#carry = undefined
    const goOn = this.#sink.onFrame(byteAt(carry, 0), carry, HEADER_BYTES, this.#frameBytes)
    this.#dropCarry(carry)
    return goOn ? at : ~at
  }

  /** Copies up to `target` bytes in all. Grows with what has arrived, never with what a header promises. */
  #append(chunk: Buffer, at: number, end: number, target: number): number {
    const added = Math.min(target - this.#carryBytes, end - at)
    let carry = this.#carry as Buffer
    if (this.#carryBytes + added > carry.length) {
      const larger = this.#pool.rent(this.#carryBytes + added)
      carry.copy(larger, 0, 0, this.#carryBytes)
      this.#pool.giveBack(carry)
      this.#carry = carry = larger
    }
    chunk.copy(carry, this.#carryBytes, at, at + added)
    this.#carryBytes += added
    return at + added
  }

  #dropCarry(carry: Buffer): void {
    this.#pool.giveBack(carry)
    this.#carry = undefined
    this.#carryBytes = 0
  }
}
