// Cuts a byte stream into DERP frames. A frame that lies whole in the chunk is passed on in place. Only a frame that
// crosses chunks is copied, into a rented buffer that is returned after the frame. Not a validator: the sink sees every
// header first and accepts, skips or rejects the frame.
//
//   chunk:  ····[type|length|payload][type|length|payl      onFrame, then carry = [type|length|payl
//   chunk:  oad][type|len                                    onFrame from the carry, then carry = [type|len
//
// Contract: a chunk is borrowed for the call. The sink may change the buffer given to onFrame from the frame's header,
// five bytes before the payload, to the payload's end.

import type { BufferPool } from './buffer-pool.ts'
import { byteAt, readU32 } from './bytes.ts'
import { HEADER_BYTES } from './limits.ts'

/** What the reader does with a frame; decided from the header. */
export const FrameAction = { accept: 0, skip: 1, reject: 2 } as const
export type FrameAction = (typeof FrameAction)[keyof typeof FrameAction]

/** The consumer of the frames. */
export interface FrameSink {
  /** Decides by type and payload length, before any payload is kept. */
  onHeader(type: number, payloadBytes: number): FrameAction
  /** A whole frame: payload at [start, end), header in the five bytes before. Returns false to stop reading here. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean
}

export class FrameReader {
  readonly #sink: FrameSink
  readonly #pool: BufferPool
  #carry: Buffer | undefined = undefined
  #carryBytes = 0
  #frameBytes = 0
  #skipBytes = 0
  #isEnded = false

  constructor(sink: FrameSink, pool: BufferPool) {
    this.#sink = sink
    this.#pool = pool
  }

  /**
   * Reads chunk[start, end) and returns the position where it stopped: `end`, or the end of the frame after which the
   * sink returned false (call again with the rest), or the start of a rejected frame. After a rejection nothing more is
   * read.
   */
  feed(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.#isEnded) {
      let next: number
      if (this.#skipBytes > 0) next = this.#skip(at, end)
      else if (this.#carry !== undefined) next = this.#completeCarry(chunk, at, end)
      else next = this.#readWhole(chunk, at, end)
      if (next < 0) return ~next
      at = next
    }
    return at
  }

  /** The sink has rejected a frame, or the reader is closed: nothing more is read. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Bytes kept of an incomplete frame. */
  get keptBytes(): number {
    return this.#carry === undefined ? 0 : this.#carryBytes
  }

  /** Returns the rented buffer and reads nothing more. The sink may call this from its own methods. */
  close(): void {
    this.#isEnded = true
    if (this.#carry !== undefined) this.#pool.giveBack(this.#carry)
    this.#carry = undefined
  }

  #skip(at: number, end: number): number {
    const skipped = Math.min(this.#skipBytes, end - at)
    this.#skipBytes -= skipped
    return at + skipped
  }

  /** Reads a frame in place; returns the position where reading continues, or ~position to stop there. */
  #readWhole(chunk: Buffer, at: number, end: number): number {
    if (end - at < HEADER_BYTES) return this.#keep(chunk, at, end, HEADER_BYTES)
    const type = byteAt(chunk, at)
    const payloadBytes = readU32(chunk, at + 1)
    if (!this.#admit(type, payloadBytes)) return this.#isEnded ? ~at : at + HEADER_BYTES
    const frameEnd = at + HEADER_BYTES + payloadBytes
    if (frameEnd > end) return this.#keep(chunk, at, end, HEADER_BYTES + payloadBytes)
    return this.#sink.onFrame(type, chunk, at + HEADER_BYTES, frameEnd) ? frameEnd : ~frameEnd
  }

  /** Returns true if the frame is accepted; false if it is skipped, or if the reader has ended. */
  #admit(type: number, payloadBytes: number): boolean {
    const action = this.#sink.onHeader(type, payloadBytes)
    if (action === FrameAction.accept) return !this.#isEnded
    if (action === FrameAction.skip) this.#skipBytes = payloadBytes
    else this.#isEnded = true
    return false
  }

  #keep(chunk: Buffer, at: number, end: number, frameBytes: number): number {
    this.#carry = this.#pool.rent(end - at)
    chunk.copy(this.#carry, 0, at, end)
    this.#carryBytes = end - at
    this.#frameBytes = frameBytes
    return end
  }

  /** Adds to the carried frame; returns the position where reading continues, or ~position to stop there. */
  #completeCarry(chunk: Buffer, start: number, end: number): number {
    let at = start
    if (this.#carryBytes < HEADER_BYTES) {
      at = this.#append(chunk, at, end, HEADER_BYTES)
      if (this.#carryBytes < HEADER_BYTES) return ~at
      const carry = this.#carry as Buffer
      const payloadBytes = readU32(carry, 1)
      if (!this.#admit(byteAt(carry, 0), payloadBytes)) {
        // If the sink closed the reader, the carry has been returned already.
        if (this.#carry !== undefined) this.#dropCarry(carry)
        return this.#isEnded ? ~at : at
      }
      this.#frameBytes = HEADER_BYTES + payloadBytes
    }
    at = this.#append(chunk, at, end, this.#frameBytes)
    if (this.#carryBytes < this.#frameBytes) return ~at
    const carry = this.#carry as Buffer
    this.#carry = undefined
    const continues = this.#sink.onFrame(byteAt(carry, 0), carry, HEADER_BYTES, this.#frameBytes)
    this.#dropCarry(carry)
    return continues ? at : ~at
  }

  /** Copies until `target` bytes are carried. Memory grows with the bytes received, never with the length in a header. */
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
