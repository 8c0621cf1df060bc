// The sending half of a sibling link: a bounded outbox that is written to the current connection once per turn. What is
// queued without a connection waits in the outbox, within its limits. Neither dials nor reads. Runs on the relay thread.

import type { AddressedPacket, Flushable, SiblingOutbox } from '#relay/ports.ts'
import type { SiblingStream } from './dial.ts'
import type { SiblingReport } from './sibling-report.ts'

export interface SiblingSenderParts {
  readonly makeOutbox: () => SiblingOutbox
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Asks for a call of `flush` at the end of the turn. */
  readonly flushSoon: (one: Flushable) => void
}

export type SendNumbers = Pick<SiblingReport, 'waitingBytes' | 'packets' | 'bytes' | 'dropped' | 'delayMs'>

export class SiblingSender implements Flushable {
  readonly #parts: SiblingSenderParts
  readonly #outbox: SiblingOutbox
  /** The current connection. */
  stream: SiblingStream | undefined = undefined
  /** The login has been sent, and nothing may come before it. */
  isOpen = false
  #packets = 0
  #bytes = 0
  #dropped = 0
  #isFlushDue = false

  constructor(parts: SiblingSenderParts) {
    this.#parts = parts
    this.#outbox = parts.makeOutbox()
  }

  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    this.#outbox.offerForward(packet, sourceKey, nowMs)
    this.#requestFlush()
  }

  /** Sends a frame that must not be lost. Returns false if too many are queued. */
  sendControl(frame: Uint8Array): boolean {
    const isQueued = this.#outbox.offerControl(frame, this.#parts.now())
    if (isQueued) this.#requestFlush()
    return isQueued
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.stream === undefined || !this.isOpen) return
    this.#outbox.flush(this.stream, this.#parts.now())
  }

  /** The system has accepted the burst. */
  written(): void {
    this.#outbox.written()
    this.flush()
  }

  /** Whether a burst has been in flight for longer than `limitMs`. */
  isStalled(nowMs: number, limitMs: number): boolean {
    const { writingSinceMs } = this.#outbox
    return writingSinceMs !== undefined && nowMs - writingSinceMs > limitMs
  }

  /** The connection has ended, and no route leads here any more: what is queued goes to where its destination is now. */
  disconnected(): void {
    this.stream = undefined
    this.#outbox.written()
    this.#outbox.dropAged(this.#parts.now())
    this.#outbox.close()
  }

  /** The numbers so far; the delay since the last call. */
  takeNumbers(): SendNumbers {
    const { packets, bytes, dropped, delayMs } = this.#outbox.takeTally()
    this.#packets += packets
    this.#bytes += bytes
    this.#dropped += dropped
    return {
      waitingBytes: this.#outbox.waitingBytes,
      packets: this.#packets,
      bytes: this.#bytes,
      dropped: this.#dropped,
      delayMs,
    }
  }

  #requestFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#parts.flushSoon(this)
  }
}
