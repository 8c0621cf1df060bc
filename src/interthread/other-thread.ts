// One other relay thread, as this one reaches it: a ring each way, the presence frames that wait for room, the clients
// that wait for room, and whether it must be woken. Runs on a relay thread.

import { writeU32 } from '#protocol/bytes.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import type { AddressedPacket, ThreadListener } from '#relay/ports.ts'
import { PresenceQueue } from './presence-queue.ts'
import { RING_BYTES, RingReader, RingWriter } from './ring.ts'
import {
  FORWARDED_PACKET,
  isPacketFrame,
  PACKET,
  PACKET_FRAME_BYTES_MIN,
  ThreadFrameReader,
} from './thread-frames.ts'
import type { ThreadLink } from './thread-memory.ts'
import { Wakeup } from './wakeup.ts'

/** Beyond this a ring is nearly full: what is still read finds room, in frames of any size. */
const PRESSED_BYTES = RING_BYTES - 262_144
/** Below this there is room again. */
const EASED_BYTES = RING_BYTES / 2
/** After this long without a read, treat the thread as stuck: stop back-pressure and drop its packets. */
const STUCK_MS = 100

export class OtherThread {
  readonly thread: number
  readonly #writer: RingWriter
  readonly #reader: RingReader
  readonly #sink: ThreadFrameReader
  readonly #wakeup: Wakeup
  readonly #presence: PresenceQueue
  /** Nothing was written since it was woken last. */
  #isWoken = true
  /** Something written since then can't wait for its next poll round. */
  #isUrgent = false
  /** To be called when there is room again. */
  #waiting: (() => void)[] = []
  /** How far it had read when last looked at because of them, and since when. */
  #readAt = -1
  #readAtMs = 0

  /** @param onSynced a full presence sync of that thread has been read */
  constructor(link: ThreadLink, listener: ThreadListener, onSynced: () => void) {
    this.thread = link.thread
    this.#writer = new RingWriter(link.outgoing)
    this.#reader = new RingReader(link.incoming)
    this.#sink = new ThreadFrameReader(link.thread, listener, onSynced)
    this.#wakeup = new Wakeup(link.wakeup)
    this.#presence = new PresenceQueue(this.#writer, () => listener.presence.connectedKeys())
  }

  /** Writes a presence frame, or keeps it until there is room. */
  tell(frame: Uint8Array): void {
    this.#presence.tell(frame)
  }

  startSync(): void {
    this.#presence.startSync()
  }

  /** Hands over a packet. Returns false if there is no room. */
  sendPacket(destinationKey: Uint8Array, sourceKey: Uint8Array, packet: AddressedPacket): boolean {
    if (this.#presence.isWaiting) return false
    const writer = this.#writer
    const frameBytes = PACKET_FRAME_BYTES_MIN + packet.end - packet.packetAt
    const at = writer.reserve(frameBytes)
    if (at < 0) return false
    const { bytes } = writer
    bytes[at] = packet.isForwarded ? FORWARDED_PACKET : PACKET
    writeU32(bytes, at + 1, frameBytes - HEADER_BYTES)
    bytes.set(destinationKey, at + HEADER_BYTES)
    bytes.set(sourceKey, at + HEADER_BYTES + KEY_BYTES)
    packet.buffer.copy(bytes, at + PACKET_FRAME_BYTES_MIN, packet.packetAt, packet.end)
    writer.publish()
    return true
  }

  /**
   * Something was written: the thread must be woken at the end of this turn. Returns false if that was known already.
   */
  mustWake(isUrgent: boolean): boolean {
    if (isUrgent) this.#isUrgent = true
    if (!this.#isWoken) return false
    this.#isWoken = false
    return true
  }

  /** Writes what has found room, resumes clients, and wakes the thread if anything was written to it. */
  flush(nowMs: () => number): void {
    if (this.#presence.isWaiting && this.#presence.retry()) this.#isWoken = false
    if (this.#waiting.length > 0) this.#resumeWaiting(nowMs)
    if (this.#isWoken) return
    this.#isWoken = true
    this.#wakeup.wake(this.#isUrgent)
    this.#isUrgent = false
  }

  /** Whether presence frames or clients wait for room. */
  get hasBacklog(): boolean {
    return this.#presence.isWaiting || this.#waiting.length > 0
  }

  get hasFrames(): boolean {
    return this.#reader.hasFrames
  }

  /** Reads what it has written. */
  drain(): void {
    this.#reader.drain(this.#sink)
  }

  /** Whether it does not keep up with what is written to it. */
  isPressed(nowMs: () => number): boolean {
    return this.#writer.holdsMoreThan(PRESSED_BYTES) && !this.#isStuck(nowMs())
  }

  whenRoom(resume: () => void): void {
    this.#waiting.push(resume)
  }

  /** It has ended: `lost` is given the packets that it has not read, as `ThreadPacketListener` has them. */
  reclaim(lost: (buffer: Buffer, start: number, end: number) => void): void {
    this.#writer.reclaim({
      onFrame: (type, buffer, start, end) => {
        if (isPacketFrame(type)) lost(buffer, start, end)
      },
    })
  }

  /** It has ended: nothing is gained by waiting for room. */
  resumeAll(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  #resumeWaiting(nowMs: () => number): void {
    if (this.#writer.holdsMoreThan(EASED_BYTES) && !this.#isStuck(nowMs())) return
    this.resumeAll()
  }

  /** Whether it has stopped reading while its ring fills up. */
  #isStuck(nowMs: number): boolean {
    const { readAt } = this.#writer
    if (readAt === this.#readAt) return nowMs - this.#readAtMs > STUCK_MS
    this.#readAt = readAt
    this.#readAtMs = nowMs
    return false
  }
}
