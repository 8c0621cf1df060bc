// A first-in-first-out run of whole frames, kept in rented chunks. Frames leave chunk by chunk, without another copy;
// they are dropped one by one from the front. An empty lane holds no memory.
//
//   first                               last
//   [··frame|frame|frame]→[frame|frame|·····]      · consumed or still free; frames never cross chunks
//
// Contract: frames pushed are complete (header and payload), so that the front one states its own length.

import type { BufferPool } from '#protocol/buffer-pool.ts'
import { readU32 } from '#protocol/bytes.ts'
import { HEADER_BYTES } from '#protocol/limits.ts'

/** Chunks of a busy lane grow to this by default: two full TLS records, and few enough chunks for any queue. */
export const CHUNK_BYTES_MAX = 32_768
/** The first chunk holds one full-size tunnel packet. */
const CHUNK_BYTES_MIN = 2_048
/** Frames of one chunk count as equally old. A tenth of the age at which packets are dropped is close enough. */
const CHUNK_AGE_MAX_MS = 100

export interface Chunk {
  buffer: Buffer
  /** Frames lie in [start, end). */
  start: number
  end: number
  frameCount: number
  /** When its first frame was pushed. */
  bornMs: number
  next: Chunk | undefined
}

export class Lane {
  readonly #pool: BufferPool
  readonly #chunkBytesMax: number
  #first: Chunk | undefined = undefined
  #last: Chunk | undefined = undefined
  /** Bytes of the last chunk taken: the size to start the next one with. */
  #takenBytes = CHUNK_BYTES_MIN
  bytes = 0
  frameCount = 0

  constructor(pool: BufferPool, chunkBytesMax = CHUNK_BYTES_MAX) {
    this.#pool = pool
    this.#chunkBytesMax = chunkBytesMax
  }

  /** When the oldest waiting frame's chunk was begun; undefined when empty. */
  get oldestMs(): number | undefined {
    return this.#first?.bornMs
  }

  /** The chunk that begins with the oldest frame; undefined when empty. */
  get first(): Readonly<Chunk> | undefined {
    return this.#first
  }

  /** Copies the frame source[start, end) to the lane's end. */
  push(source: Buffer, start: number, end: number, nowMs: number): void {
    const chunk = this.reserve(end - start, nowMs)
    source.copy(chunk.buffer, chunk.end - (end - start), start, end)
  }

  /** Adds a frame that the caller writes at once: into the last `frameBytes` bytes of the chunk returned. */
  reserve(frameBytes: number, nowMs: number): Chunk {
    let chunk = this.#last
    if (chunk === undefined || chunk.end + frameBytes > chunk.buffer.length || isOld(chunk, nowMs)) {
      chunk = this.#append(frameBytes, nowMs)
    }
    chunk.end += frameBytes
    chunk.frameCount++
    this.bytes += frameBytes
    this.frameCount++
    return chunk
  }

  /** Removes the oldest frame and returns its size in bytes, header included; 0 when empty. */
  dropOldest(): number {
    const chunk = this.#first
    if (chunk === undefined) return 0
    const frameBytes = HEADER_BYTES + readU32(chunk.buffer, chunk.start + 1)
    chunk.start += frameBytes
    chunk.frameCount--
    this.bytes -= frameBytes
    this.frameCount--
    if (chunk.frameCount === 0) {
      this.#unlink(chunk)
      this.#pool.giveBack(chunk.buffer)
    }
    return frameBytes
  }

  /** Takes the oldest chunk out; the caller gives its buffer back when it has left. */
  takeChunk(): Chunk | undefined {
    const chunk = this.#first
    if (chunk === undefined) return undefined
    this.#unlink(chunk)
    const bytes = chunk.end - chunk.start
    this.bytes -= bytes
    this.frameCount -= chunk.frameCount
    this.#takenBytes = bytes
    return chunk
  }

  #append(frameBytes: number, nowMs: number): Chunk {
    const last = this.#last
    // After a chunk that did not fill within its time, the next one will hardly hold more.
    const isQuiet = last !== undefined && isOld(last, nowMs)
    const wanted = isQuiet ? last.end : Math.max(this.#takenBytes, this.bytes * 2)
    const buffer = this.#pool.rent(Math.max(frameBytes, Math.min(this.#chunkBytesMax, wanted)))
    const chunk: Chunk = { buffer, start: 0, end: 0, frameCount: 0, bornMs: nowMs, next: undefined }
    if (last === undefined) this.#first = chunk
    else last.next = chunk
    this.#last = chunk
    return chunk
  }

  #unlink(chunk: Chunk): void {
    this.#first = chunk.next
    if (this.#first === undefined) this.#last = undefined
    chunk.next = undefined
  }
}

function isOld(chunk: Chunk, nowMs: number): boolean {
  return nowMs - chunk.bornMs > CHUNK_AGE_MAX_MS
}
