// One relay thread of this run and one of another run, as the bridge between the runs sees them: the two rings of the
// thread here, whether it reads, and the presence frames that wait for one that does not. Runs on the bridge thread.

import { HEADER_BYTES } from '#protocol/limits.ts'
import { PRESENCE_FRAMES_MAX } from './presence-queue.ts'
import { RingReader, type RingSink, RingWriter } from './ring.ts'
import type { BridgedPair } from './thread-memory.ts'
import { Wakeup } from './wakeup.ts'

/** After this long without a read, treat the thread as stuck, as other threads do. */
const STUCK_MS = 100

/** What the bridge does with a frame that the thread here has written: it lies at buffer[start, end), borrowed. */
export interface BridgedFrames {
  fromHere(thread: BridgedThread, buffer: Buffer, start: number, end: number): void
}

export class BridgedThread implements RingSink {
  readonly here: number
  readonly there: number
  readonly #reader: RingReader
  readonly #writer: RingWriter
  readonly #wakeup: Wakeup
  readonly #frames: BridgedFrames
  /** Presence frames that wait for room. */
  #waiting: Buffer[] = []
  #hasWritten = false
  /** How far it had read when there was no room, and since when. */
  #readAt = -1
  #readAtMs = 0

  constructor(pair: BridgedPair, frames: BridgedFrames) {
    this.here = pair.here
    this.there = pair.there
    this.#reader = new RingReader(pair.fromHere)
    this.#writer = new RingWriter(pair.toHere)
    this.#wakeup = new Wakeup(pair.wakeup)
    this.#frames = frames
  }

  get hasFrames(): boolean {
    return this.#reader.hasFrames
  }

  /** Gives what the thread here has written. */
  read(): void {
    this.#reader.drain(this)
  }

  onFrame(_type: number, buffer: Buffer, start: number, end: number): void {
    this.#frames.fromHere(this, buffer, start - HEADER_BYTES, end)
  }

  /** Whether presence frames wait for room. */
  get hasBacklog(): boolean {
    return this.#waiting.length > 0
  }

  /** Writes those that find room now. */
  retry(): void {
    const waits = this.#waiting.findIndex((frame) => !this.#put(frame, 0, frame.length))
    this.#waiting = waits < 0 ? [] : this.#waiting.slice(waits)
  }

  /** Writes the frame at buffer[start, end), after those that wait. Returns false if there is no room. */
  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.#waiting.length > 0) this.retry()
    return this.#waiting.length === 0 && this.#put(buffer, start, end)
  }

  /** Whether the thread here has read nothing for a while, though there is no room. */
  isStuck(nowMs: number): boolean {
    const { readAt } = this.#writer
    if (readAt === this.#readAt) return nowMs - this.#readAtMs > STUCK_MS
    this.#readAt = readAt
    this.#readAtMs = nowMs
    return false
  }

  /** Keeps a copy of a presence frame until there is room. Returns false if too many wait. */
  keep(frame: Buffer): boolean {
    if (this.#waiting.length >= PRESENCE_FRAMES_MAX) return false
    this.#waiting.push(Buffer.from(frame))
    return true
  }

  /** Wakes the thread here if anything was written to it. One that polls reads within a millisecond. */
  wake(): void {
    if (!this.#hasWritten) return
    this.#hasWritten = false
    this.#wakeup.wake(false)
  }

  #put(buffer: Buffer, start: number, end: number): boolean {
    const at = this.#writer.reserve(end - start)
    if (at < 0) return false
    buffer.copy(this.#writer.bytes, at, start, end)
    this.#writer.publish()
    this.#hasWritten = true
    return true
  }
}
