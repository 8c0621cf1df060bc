// A frame sink that writes down what it hears, one line per event, and treats the buffers it is lent as badly as
// the contract allows: it overwrites each frame, header included. Also feeds a reader with chunks that lie inside
// larger buffers and are overwritten as soon as the call returns, as a shared socket buffer would be.

import type { FrameReader, FrameSink } from '#protocol/frame-reader.ts'
import { FrameAction } from '#protocol/frame-reader.ts'
import { sha256 } from '../vectors/hex.ts'

/** What a sink is to do with the n-th frame of a stream. */
export interface Treatment {
  readonly action: FrameAction
  /** Whether reading goes on after this frame. */
  readonly goesOn: boolean
}

/** Decides from the frame's place in the stream, or from its length. */
export type Treat = (frameAt: number, payloadBytes: number) => Treatment

const taken: Treatment = { action: FrameAction.accept, goesOn: true }

export class RecordingSink implements FrameSink {
  readonly events: string[] = []
  /** True after a refusal: nothing more may be read. */
  isRejected = false
  /** True from a frame that stops reading until the reader is fed again. */
  isStopped = false
  readonly #treat: Treat
  #headerCount = 0
  #treatment = taken

  constructor(treat: Treat = () => taken) {
    this.#treat = treat
  }

  onHeader(type: number, payloadBytes: number): FrameAction {
    this.#expectToBeAsked()
    this.#treatment = this.#treat(this.#headerCount++, payloadBytes)
    this.events.push(headerEvent(type, payloadBytes))
    this.isRejected = this.#treatment.action === FrameAction.reject
    return this.#treatment.action
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    this.#expectToBeAsked()
    if (buffer[start - 5] !== type || buffer.readUInt32BE(start - 4) !== end - start) {
      this.events.push('the five bytes before the payload are not its header')
    }
    this.events.push(frameEvent(type, buffer.subarray(start, end)))
    buffer.fill(0xaa, start - 5, end)
    this.isStopped = !this.#treatment.goesOn
    return this.#treatment.goesOn
  }

  #expectToBeAsked(): void {
    if (this.isRejected) this.events.push('read on after a refusal')
    if (this.isStopped) this.events.push('read on after a stop')
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

/** Feeds all chunks, going on after each stop; ends early when the sink has refused. */
export function feedAll(reader: FrameReader, sink: RecordingSink, chunks: readonly Buffer[]): void {
  let chunkAt = 0
  for (const chunk of chunks) {
    feedChunk(reader, sink, chunk, chunkAt)
    if (sink.isRejected) return
    chunkAt += chunk.length
  }
}

function feedChunk(reader: FrameReader, sink: RecordingSink, chunk: Buffer, chunkAt: number): void {
  // ThreadLinks of a chunk in a shared buffer: what is outside [start, end) must not be read.
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
      throw new Error(`fed [${at}, ${end}), the reader stopped at ${next} without being told to`)
    }
    at = next
  }
  shared.fill(0xee)
}
