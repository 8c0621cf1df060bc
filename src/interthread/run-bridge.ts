// The bridge to another run of this relay: carries the frames between its threads and those of this run over one stream.
// For the threads here it stands for the other run's threads: it reads the rings that they write to, and writes the rings
// that they read. The other run has a bridge of its own at the stream's other end. Not concerned with how the two runs find
// each other (control/). Runs on the bridge thread, which no packet within a run passes.
//
//   [from thread|to thread|type|length|payload]   on the stream: the frames of `thread-frames.ts` behind two numbers
//
// Contract: frames of two threads arrive in their order. Presence is never lost while the stream lasts. Memory is bounded in
// both directions: a ring is not read while the stream does not take what was read, and the stream is not read while a
// thread does not read its ring. A thread that has stopped reading loses packets, counted, and delays nobody else. The other
// run may be another version: frames of unknown types pass, and bytes that are no frames end the bridge.

import { byteAt, readU32 } from '#protocol/bytes.ts'
import { FORWARD_PACKET_BYTES_MAX, HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import type { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { BridgedThread, type BridgedFrames } from './bridged-thread.ts'
import { isPacketFrame, payloadBytesMin } from './thread-frames.ts'
import type { BridgeMemory } from './thread-memory.ts'
import { Wakeup } from './wakeup.ts'

/** Of a frame on the stream: the numbers of the two threads. */
const ADDRESS_BYTES = 2
/** One write to the stream; several of the largest frames. */
const CHUNK_BYTES = 262_144
/** Bytes that the stream has not taken, beyond which rings are not read. */
const UNSENT_BYTES_MAX = 1_048_576
/** Free chunks that are kept. */
const FREE_CHUNKS_MAX = 8
/** How often a ring without room is looked at. A thread that works reads its rings about as often. */
const RETRY_MS = 1

/** The stream to the other run's bridge. */
export interface BridgeStream {
  /** Takes the bytes over until `taken` is called. */
  write(bytes: Uint8Array, taken: () => void): void
  pause(): void
  resume(): void
}

export interface RunBridgeParts {
  readonly memory: BridgeMemory
  readonly stream: BridgeStream
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** The other run sends what this one does not understand; `why` completes "the other run …". */
  readonly onBroken: (why: string) => void
}

export class RunBridge implements BridgedFrames {
  readonly #parts: RunBridgeParts
  readonly #wakeup: Wakeup
  readonly #threads: readonly BridgedThread[]
  readonly #byAddress = new Map<number, BridgedThread>()
  readonly #freeChunks: Buffer[] = []
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #chunkEnd = 0
  /** Bytes that the stream has not taken yet. */
  #unsentBytes = 0
  /** Rings wait for the stream. */
  #isHeld = false
  /** The ring that is read first next time, so that all have their turn. */
  #first = 0
  /** Received, and not handed over yet. */
  #received: Buffer = Buffer.alloc(0)
  #isPaused = false
  #isRetrying = false
  #isOver = false

  constructor(parts: RunBridgeParts) {
    const { memory } = parts
    this.#parts = parts
    this.#wakeup = new Wakeup(memory.wakeup)
    this.#threads = memory.pairs.map((pair) => new BridgedThread(pair, this))
    for (const thread of this.#threads) this.#byAddress.set(addressOf(thread.there, thread.here), thread)
  }

  // ── from the threads here ──

  /** Reads rings whenever a thread wakes the bridge, until it ends. */
  async readWhenWoken(): Promise<void> {
    while (!this.#isOver) {
      const count = this.#wakeup.count()
      this.pump()
      await this.#wakeup.wait(count)
    }
  }

  /** Sends what the threads have written. Then they wake the bridge again, unless the stream is full. */
  pump(): void {
    if (this.#isOver) return
    this.#readRings()
    if (this.#isHeld) return
    this.#wakeup.setAwake(false)
    // A thread that wrote before it could see this does not wake the bridge.
    if (this.hasFrames) this.#parts.later(0, () => this.pump())
  }

  /** Whether threads here have written frames that have not been read. */
  get hasFrames(): boolean {
    return this.#threads.some(({ hasFrames }) => hasFrames)
  }

  /** Whether everything that the threads here have written is on its way. */
  get isFlushed(): boolean {
    return !this.hasFrames && this.#unsentBytes === 0
  }

  #readRings(): void {
    const count = this.#threads.length
    for (let i = 0; i < count && !this.#isHeld; i++) {
      const thread = this.#threads[(this.#first + i) % count] as BridgedThread
      thread.read()
      this.#isHeld = this.#unsentBytes > UNSENT_BYTES_MAX
    }
    this.#first = (this.#first + 1) % Math.max(1, count)
    this.#send()
  }

  fromHere({ here, there }: BridgedThread, buffer: Buffer, start: number, end: number): void {
    if (this.#chunkEnd + ADDRESS_BYTES + end - start > CHUNK_BYTES) this.#send()
    const chunk = this.#chunk
    chunk[this.#chunkEnd] = here
    chunk[this.#chunkEnd + 1] = there
    buffer.copy(chunk, this.#chunkEnd + ADDRESS_BYTES, start, end)
    this.#chunkEnd += ADDRESS_BYTES + end - start
  }

  #send(): void {
    const [chunk, byteCount] = [this.#chunk, this.#chunkEnd]
    if (byteCount === 0) return
    this.#unsentBytes += byteCount
    this.#chunk = this.#freeChunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)
    this.#chunkEnd = 0
    this.#parts.stream.write(chunk.subarray(0, byteCount), () => {
      this.#unsentBytes -= byteCount
      if (this.#freeChunks.length < FREE_CHUNKS_MAX) this.#freeChunks.push(chunk)
      if (!this.#isHeld || this.#unsentBytes > UNSENT_BYTES_MAX / 2) return
      this.#isHeld = false
      this.pump()
    })
  }

  // ── to the threads here ──

  /** Bytes of the other run's bridge; they are the bridge's own from now on. */
  receive(bytes: Buffer): void {
    if (this.#isOver) return
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    this.#handOver()
  }

  /** Hands over the whole frames that have been received, as far as there is room. */
  #handOver(): void {
    const bytes = this.#received
    for (const thread of this.#threads) if (thread.hasBacklog) thread.retry()
    let at = 0
    let isBlocked = false
    while (!isBlocked && bytes.length - at >= ADDRESS_BYTES + HEADER_BYTES) {
      const start = at + ADDRESS_BYTES
      const thread = this.#byAddress.get(addressOf(byteAt(bytes, at), byteAt(bytes, at + 1)))
      const payloadBytes = readU32(bytes, start + 1)
      const problem = problemOf(thread, byteAt(bytes, start), payloadBytes)
      if (problem !== undefined || thread === undefined) return this.#break(problem)
      const end = start + HEADER_BYTES + payloadBytes
      if (end > bytes.length) break
      isBlocked = !this.#write(thread, bytes, start, end)
      if (!isBlocked) at = end
    }
    // A copy, so that a part of a frame does not keep the whole chunk in memory.
    if (at > 0) this.#received = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at))
    for (const thread of this.#threads) thread.wake()
    this.#setPaused(isBlocked)
    if (isBlocked || this.#threads.some(({ hasBacklog }) => hasBacklog)) this.#retryLater()
  }

  /** Returns false if the frame must wait. */
  #write(thread: BridgedThread, bytes: Buffer, start: number, end: number): boolean {
    if (thread.write(bytes, start, end)) return true
    if (!thread.isStuck(this.#parts.now())) return false
    if (isPacketFrame(byteAt(bytes, start))) {
      // The bridge does not look into packets; nearly all are data.
      const packetBytes = end - start - HEADER_BYTES - 2 * KEY_BYTES
      this.#parts.counters.countDrop(DropReason.threadQueue, PacketKind.data, packetBytes)
    } else if (!thread.keep(bytes.subarray(start, end))) {
      this.#break(`has said more than a thread here, ${thread.here}, reads`)
    }
    return true
  }

  #setPaused(isPaused: boolean): void {
    if (this.#isPaused === isPaused || this.#isOver) return
    this.#isPaused = isPaused
    if (isPaused) this.#parts.stream.pause()
    else this.#parts.stream.resume()
  }

  #retryLater(): void {
    if (this.#isRetrying) return
    this.#isRetrying = true
    this.#parts.later(RETRY_MS, () => {
      this.#isRetrying = false
      if (!this.#isOver) this.#handOver()
    })
  }

  // ── end ──

  #break(why = 'names a thread that does not exist'): void {
    if (this.#isOver) return
    this.end()
    this.#parts.onBroken(why)
  }

  /** Nothing is read or written any more. */
  end(): void {
    this.#isOver = true
    this.#received = EMPTY
    this.#wakeup.setAwake(false)
    this.#wakeup.wake()
  }
}

const EMPTY = Buffer.alloc(0)

/** Why such a frame is none of ours; undefined if it may be one. */
function problemOf(
  thread: BridgedThread | undefined,
  type: number,
  payloadBytes: number,
): string | undefined {
  if (thread === undefined) return 'names a thread that does not exist'
  if (payloadBytes > FORWARD_PACKET_BYTES_MAX) return `sends a frame of ${payloadBytes} bytes`
  if (payloadBytes < payloadBytesMin(type)) return `sends a frame of type ${type} with ${payloadBytes} bytes`
  return undefined
}

function addressOf(there: number, here: number): number {
  return there * 256 + here
}
