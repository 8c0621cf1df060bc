// A link without a socket: bytes that the relay writes wait until the test lets the system take them, bytes that the
// remote sends arrive when the test says so. Checks that the relay keeps the Link's contract: one burst at a time,
// bytes unchanged until they are taken, nothing written after the end. Its own chunks are as inconvenient as the
// contract allows.

import { EndReason } from '#relay/end-reason.ts'
import type { Link, LinkListener, RemoteAddress } from '#relay/ports.ts'

/** A write: the relay's own bytes, and a copy from when they were written. */
interface Written {
  readonly lent: Uint8Array
  readonly given: Buffer
}

export interface FakeLinkEvents {
  /** The remote receives these bytes. */
  readonly received: (bytes: Buffer) => void
  /** The link has something to do: `work` must be called. */
  readonly hasWork: (link: FakeLink) => void
}

/** All links' chunks lie in this one buffer, as in a transport that shares its read buffer. */
const sharedChunk = Buffer.alloc(80_000)

export class FakeLink implements Link {
  readonly remote: RemoteAddress
  readonly isWebSocket: boolean
  /** Bytes are copied at once, as by a transport that encrypts them. */
  isCopying = false
  /** Pauses are ignored, as by a transport that has read ahead. */
  hasReadAhead = false
  isPaused = false
  /** How the relay ended the link; undefined while it has not. */
  ending: 'close' | 'destroy' | undefined = undefined
  /** The remote sees that the connection has ended. */
  isClosed = false
  /** The relay has ended its side, and receives until the remote ends its own. */
  isFinished = false
  #receivedBytes = 0
  /** Complete bursts that were taken. */
  burstCount = 0
  /** The session has said that its remote has logged in. */
  isLoggedIn = false
  /** Bytes that the relay wrote. */
  writtenBytes = 0
  /** Bytes that the remote received; the others were in flight when the link ended. */
  takenBytes = 0
  readonly #events: FakeLinkEvents
  #listener: LinkListener | undefined = undefined
  #isStalled = false
  #burst: Written[] = []
  #isBurstWhole = false
  #inbox: Buffer[] = []

  constructor(remote: RemoteAddress, isWebSocket: boolean, events: FakeLinkEvents) {
    this.remote = remote
    this.isWebSocket = isWebSocket
    this.#events = events
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  /** A stalled link takes nothing more. */
  get isStalled(): boolean {
    return this.#isStalled
  }

  set isStalled(isStalled: boolean) {
    this.#isStalled = isStalled
    this.#events.hasWork(this)
  }

  // ── the relay's side ──

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.ending !== undefined || this.isFinished || this.isClosed)
      throw new Error('written to after its end')
    if (this.#isBurstWhole) throw new Error('written to while a burst is in flight')
    if (bytes.length === 0) throw new Error('written nothing')
    this.writtenBytes += bytes.length
    const given = Buffer.from(bytes)
    this.#burst.push({ lent: this.isCopying ? given : bytes, given })
    this.#isBurstWhole = isLast
    this.#events.hasWork(this)
    return this.isCopying
  }

  becomeTrunk(): void {}

  readAs(): void {
    this.isLoggedIn = true
  }

  readInTurn(): void {}

  roundTripSeconds = 0

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.#events.hasWork(this)
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  get sentBytes(): number {
    return this.writtenBytes
  }

  finish(): void {
    if (this.#burst.length > 0) throw new Error('finished while a burst is in flight')
    this.isFinished = true
  }

  close(): void {
    this.ending ??= 'close'
    this.#events.hasWork(this)
  }

  destroy(): void {
    this.ending = 'destroy'
    this.#events.hasWork(this)
  }

  // ── the remote's side ──

  /** The remote sends bytes; they arrive at once unless the relay has paused the link. */
  send(bytes: Uint8Array): void {
    if (this.ending !== undefined || this.isClosed) return
    if (this.#inbox.length > 0 || (this.isPaused && !this.hasReadAhead)) this.#inbox.push(Buffer.from(bytes))
    else this.#deliver(bytes)
  }

  /** The remote ends the connection, or its host does. */
  hangUp(reason: EndReason = EndReason.remoteClosed): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#listener?.closed(reason)
  }

  /** The relay's thread has died: the link ends without a call of its listener. */
  breakOff(): void {
    this.#listener = undefined
    this.isClosed = true
  }

  // ── the system ──

  /** Does what a system would have done by now. */
  work(): void {
    if (this.isClosed) return
    if (this.ending !== 'destroy' && !this.#isStalled) this.#takeBurst()
    if (this.ending === 'destroy' || (this.ending === 'close' && !this.#isStalled)) this.hangUp()
    while (!this.isPaused && this.ending === undefined && this.#inbox.length > 0) {
      this.#deliver(this.#inbox.shift() ?? new Uint8Array(0))
    }
  }

  #takeBurst(): void {
    if (this.#burst.length === 0) return
    if (!this.#isBurstWhole) throw new Error('a burst has no end')
    const burst = this.#burst
    this.#burst = []
    this.#isBurstWhole = false
    this.burstCount++
    for (const { lent, given } of burst) {
      if (!given.equals(lent)) throw new Error('bytes were changed before they were taken')
      this.takenBytes += given.length
      this.#events.received(given)
    }
    if (this.ending === undefined) this.#listener?.written()
  }

  #deliver(bytes: Uint8Array): void {
    // At an odd address, between other bytes, and overwritten as soon as the call returns.
    const start = 1 + (bytes.length % 7)
    const end = start + bytes.length
    const chunk = end < sharedChunk.length ? sharedChunk : Buffer.alloc(end + 1)
    chunk.set(bytes, start)
    this.#receivedBytes += bytes.length
    this.#listener?.receive(chunk, start, end)
    chunk.fill(0xee, 0, end + 1)
  }
}
