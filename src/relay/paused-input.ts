// The input of a session that is not read for now. Bounded, and in memory that is lent by the pool: whatever the
// transport does with a pause, a session holds no more than this. Read later without another copy.

import type { BufferPool } from '#protocol/buffer-pool.ts'

/**
 * When reading stops one read of the transport may be under way, decrypted: 64 KiB. More than four of those is an
 * abuse.
 */
export const PAUSED_BYTES_MAX = 262_144

export class PausedInput {
  readonly #pool: BufferPool
  /** The input is buffer[from, to); a reader of a part of it sets `from`. */
  buffer: Buffer
  from = 0
  to: number

  /** Keeps a copy of chunk[start, end). */
  constructor(pool: BufferPool, chunk: Buffer, start: number, end: number) {
    this.#pool = pool
    this.buffer = pool.rent(end - start)
    this.to = chunk.copy(this.buffer, 0, start, end)
  }

  get bytes(): number {
    return this.to - this.from
  }

  /** Adds chunk[start, end). Returns false, and adds nothing, if that is too much. */
  add(chunk: Buffer, start: number, end: number): boolean {
    const oldBytes = this.bytes
    const bytes = oldBytes + end - start
    if (bytes > PAUSED_BYTES_MAX) return false
    if (this.to + end - start > this.buffer.length) {
      const larger = this.#pool.rent(Math.max(bytes, 2 * oldBytes))
      this.buffer.copy(larger, 0, this.from, this.to)
      this.#pool.giveBack(this.buffer)
      this.buffer = larger
      this.from = 0
      this.to = oldBytes
    }
    this.to += chunk.copy(this.buffer, this.to, start, end)
    return true
  }

  /** Gives the memory back; to be called once. */
  close(): void {
    this.#pool.giveBack(this.buffer)
  }
}
