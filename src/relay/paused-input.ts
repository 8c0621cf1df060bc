// What a session was given and has not read, because it reads no further for now. Bounded, and in memory that is lent:
// whatever the transport does with a pause, a session holds no more than this. Gone through without being copied again.

import type { BufferPool } from '#protocol/buffer-pool.ts'

/** What is under way when reading stops is one read of a transport's, decrypted: 64 KiB. Four of those are no accident. */
export const PAUSED_BYTES_MAX = 262_144

export class PausedInput {
  readonly #pool: BufferPool
  /** It lies in buffer[from, to); who has read a part sets `from`. */
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

  /** Adds chunk[start, end); false if that is too much, and then it was not added. */
  add(chunk: Buffer, start: number, end: number): boolean {
    const heldBytes = this.bytes
    const bytes = heldBytes + end - start
    if (bytes > PAUSED_BYTES_MAX) return false
    if (this.to + end - start > this.buffer.length) {
      const larger = this.#pool.rent(Math.max(bytes, 2 * heldBytes))
      this.buffer.copy(larger, 0, this.from, this.to)
      this.#pool.giveBack(this.buffer)
      this.buffer = larger
      this.from = 0
      this.to = heldBytes
    }
    this.to += chunk.copy(this.buffer, this.to, start, end)
    return true
  }

  /** Gives the memory back; to be called once. */
  close(): void {
    this.#pool.giveBack(this.buffer)
  }
}
