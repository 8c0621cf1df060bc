// A frame sink that records one line per event and overwrites each borrowed frame, header included, as the contract
// allows. Also feeds a reader with chunks inside larger buffers, which are overwritten after the call, like a shared
// socket buffer.

import type { FrameReader, FrameSink } from '#protocol/frame-reader.ts'
import { FrameAction } from '#protocol/frame-reader.ts'
import { sha256 } from '../vectors/hex.ts'

/** What the sink does with one frame. */
export interface Treatment {
  readonly action: FrameAction
  /** Whether reading continues after this frame. */
  readonly continues: boolean
}

/** Decides by the frame's index in the stream, or by its length. */
export type Treat = (frameAt: number, payloadBytes: number) => Treatment

const accepted: Treatment = { action: FrameAction.accept, continues: true }

export class RecordingSink implements FrameSink {
  readonly events: string[] = []
  /** True after a rejection: nothing more may be read. */
  isRejected = false
  /** True after a frame that stops reading, until the reader is fed again. */
  isStopped = false
  readonly #treat: Treat
  #headerCount = 0
  #treatment = accepted

  constructor(treat: Treat = () => accepted) {
    this.#treat = treat
  }

  onHeader(type: number, payloadBytes: number): FrameAction {
    this.#expectReading()
    this.#treatment = this.#treat(this.#headerCount++, payloadBytes)
    this.events.push(headerEvent(type, payloadBytes))
    this.isRejected = this.#treatment.action === FrameAction.reject
    return this.#treatment.action
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    this.#expectReading()
    if (buffer[start - 5] !== type || buffer.readUInt32BE(start - 4) !== end - start) {
      this.events.push('the five bytes before the payload are not its header')
    }
    this.events.push(frameEvent(type, buffer.subarray(start, end)))
    buffer.fill(0xaa, start - 5, end)
    this.isStopped = !this.#treatment.continues
    return this.#treatment.continues
  }

  #expectReading(): void {
    if (this.isRejected) this.events.push('reading continued after a rejection')
    if (this.isStopped) this.events.push('reading continued after a stop')
  }
}

export function headerEvent(type: number, payloadBytes: number): string {
  return `header ${type} ${payloadBytes}`
}

export function frameEvent(type: number, payload: Uint8Array): string {
  const content =
    payload.length <= 64 ? Buffer.from(payload).toString('hex') : sha256(payload).toString('hex')
  return `frame ${type} ${payload.length} ${content}`
}

export function stopEvent(streamAt: number): string {
  return `stopped at ${streamAt}`
}

/** Feeds all chunks and continues after each stop; ends when the sink has rejected a frame. */
export function feedAll(reader: FrameReader, sink: RecordingSink, chunks: readonly Buffer[]): void {
  let chunkAt = 0
  for (const chunk of chunks) {
    feedChunk(reader, sink, chunk, chunkAt)
    if (sink.isRejected) return
    chunkAt += chunk.length
  }
}

function feedChunk(reader: FrameReader, sink: RecordingSink, chunk: Buffer, chunkAt: number): void {
  // The chunk is inside a shared buffer: bytes outside [start, end) must not be read.
  const start = chunkAt % 7
  const end = start + chunk.length
  const shared = Buffer.alloc(end + 9, 0xee)
  chunk.copy(shared, start)
  for (let at = start; at < end && !sink.isRejected;) {
    sink.isStopped = false
    const next = reader.feed(shared, at, end)
    if (sink.isStopped) sink.events.push(stopEvent(chunkAt + next - start))
    if (
      next > end ||
      (next <= at && !sink.isRejected) ||
      (next < end && !sink.isStopped && !sink.isRejected)
    ) {
      throw new Error(`fed [${at}, ${end}), the reader stopped at ${next} without a reason`)
    }
    at = next
  }
  shared.fill(0xee)
}
