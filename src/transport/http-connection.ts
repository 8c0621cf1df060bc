// HTTP on one accepted connection, before and between requests: collects one request head at a time and hands it to the
// host (http-server.ts), which answers it. Not a router, and not a reader of request bodies: a request with
// a body is answered, and its connection is closed.
//
// Contract: nothing more is read until the system has taken the answer. So one connection never buffers more than one head
// and one read, whatever the remote sends.

import { byteAt } from '#protocol/bytes.ts'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import type { LinkListener } from '#relay/ports.ts'
import type { Connection } from './connection.ts'

/** First buffer: enough for the usual head. It grows when more arrives. */
const INITIAL_BUFFER_BYTES = 1_024
/** A head, and the bytes that may arrive after reading was stopped: two of the largest reads. No transport of ours delivers more. */
const BUFFERED_BYTES_MAX = HTTP_HEAD_BYTES_MAX + 131_072
/** Length of the blank line that ends a head. Reads can split it, so the search steps back by this much. */
const HEAD_END_BYTES = 4

const NOTHING = Buffer.alloc(0)

/** A request head, and the bytes behind it: chunk[start, end), borrowed for the call. */
export interface Request {
  readonly head: HttpHead
  readonly chunk: Buffer
  readonly start: number
  readonly end: number
}

/** The events that a connection reports. */
export interface HttpConnectionHost {
  /** A request head is complete. */
  onRequest(http: HttpConnection, request: Request): void
  /** The remote has sent something that is no request, or a head that is too long. */
  reject(http: HttpConnection, status: string): void
  /** The connection's buffer has grown by `moreBytes`, or shrunk if that is negative. */
  onBufferChange(http: HttpConnection, moreBytes: number, isBuffering: boolean): void
  /** The system has taken an answer. Calls `resume` when it is this connection's turn to go on. */
  onAnswered(resume: () => void): void
  /** The last request was answered, and no byte of another one is here. */
  onIdle(http: HttpConnection): void
  /** The first bytes of the next request are here. */
  onBusy(http: HttpConnection): void
  /** HTTP is over on this connection: it was closed, or a session has taken it over. */
  onDetached(http: HttpConnection): void
}

export class HttpConnection implements LinkListener {
  readonly connection: Connection
  /** When its present stage (a request, an answer, or idling) began. The host sets it. */
  sinceMs = 0
  readonly #host: HttpConnectionHost
  /** Received and not yet consumed: #buffer[#from, #to). */
  #buffer: Buffer = NOTHING
  #from = 0
  #to = 0
  /** No head ends before this position. */
  #scannedTo = 0
  #isAnswering = false
  #isIdle = false
  #isDetached = false

  constructor(connection: Connection, host: HttpConnectionHost) {
    this.connection = connection
    this.#host = host
  }

  /** An answer was written, and the system has not yet taken all of it. */
  get isAnswering(): boolean {
    return this.#isAnswering
  }

  /** HTTP goes on: the connection was not closed, and no session has taken it over. */
  get isOpen(): boolean {
    return !this.#isDetached
  }

  /** Reads nothing more until the answer, which comes later. */
  hold(): void {
    this.#isAnswering = true
    this.connection.pause()
  }

  /** Sends an answer. The next request is read when the system has taken the answer. */
  answer(bytes: Uint8Array, isLast: boolean): void {
    this.#isAnswering = true
    this.connection.write(bytes, true)
    if (isLast) this.close()
    else this.connection.pause()
  }

  /** Closes the connection gracefully; bytes that the remote still sends are dropped. */
  close(): void {
    if (this.#isDetached) return
    this.detach()
    this.connection.close()
  }

  /** Closes the connection at once. */
  abort(): void {
    this.detach()
    this.connection.destroy()
  }

  /** Ends HTTP on this connection, which itself stays open. */
  detach(): void {
    if (this.#isDetached) return
    this.#isDetached = true
    this.#setBuffer(NOTHING)
    this.#host.onDetached(this)
  }

  receive(chunk: Buffer, start: number, end: number): void {
    if (this.#isDetached) return
    if (this.#isIdle) {
      this.#isIdle = false
      this.#host.onBusy(this)
    }
    const isBufferEmpty = this.#from === this.#to
    if (!isBufferEmpty || this.#isAnswering) {
      if (!this.#append(chunk, start, end)) return this.abort()
      if (!this.#isAnswering) this.#parse(this.#buffer, this.#from, this.#to)
      return
    }
    this.#scannedTo = start
    this.#parse(chunk, start, end)
  }

  /**
   * The system has taken the answer. The runtime reports that in the same turn of the event loop in which the answer was
   * written, and again for whatever is written then. Without the host's turn queue, all pipelined requests of one connection
   * would be answered before any other connection is served.
   */
  written(): void {
    if (this.#isDetached) this.#isAnswering = false
    else this.#host.onAnswered(this.#resume)
  }

  readonly #resume = (): void => {
    this.#isAnswering = false
    if (this.#isDetached) return
    this.#scannedTo = this.#from
    if (this.#from < this.#to) this.#parse(this.#buffer, this.#from, this.#to)
    if (this.#isDetached || this.#isAnswering) return
    if (this.#from === this.#to) {
      this.#isIdle = true
      this.#host.onIdle(this)
    }
    if (!this.#isDetached) this.connection.resume()
  }

  closed(): void {
    this.detach()
  }

  /** Looks for a head in chunk[start, end), which is either the own buffer or a chunk that has just arrived. */
  #parse(chunk: Buffer, start: number, end: number): void {
    if (start === end) return this.#keep(chunk, start, end)
    // Every method begins with a letter. TLS on a plain port does not: it is refused at once, not left to time out.
    if (!isLetter(byteAt(chunk, start))) return this.#host.reject(this, '400 Bad Request')
    const headEnd = httpHeadEnd(chunk, Math.max(start, this.#scannedTo - HEAD_END_BYTES), end)
    const headBytes = (headEnd < 0 ? end + 1 : headEnd) - start
    if (headBytes > HTTP_HEAD_BYTES_MAX) {
      return this.#host.reject(this, '431 Request Header Fields Too Large')
    }
    if (headEnd < 0) return this.#keep(chunk, start, end)
    const head = parseHttpHead(chunk, start, headEnd)
    if (head === undefined) return this.#host.reject(this, '400 Bad Request')
    this.#host.onRequest(this, { head, chunk, start: headEnd, end })
    if (!this.#isDetached) this.#keep(chunk, headEnd, end)
  }

  /** Makes chunk[start, end) all that is buffered. It may lie in the buffer already. */
  #keep(chunk: Buffer, start: number, end: number): void {
    if (chunk === this.#buffer && start < end) {
      this.#from = start
    } else if (chunk === this.#buffer || start === end) {
      this.#setBuffer(NOTHING)
    } else {
      this.#setBuffer(Buffer.allocUnsafeSlow(Math.max(INITIAL_BUFFER_BYTES, end - start)))
      this.#to = chunk.copy(this.#buffer, 0, start, end)
    }
    this.#scannedTo = this.#to
  }

  /** Returns false if the buffer would exceed its limit. */
  #append(chunk: Buffer, start: number, end: number): boolean {
    const bufferedBytes = this.#to - this.#from
    const neededBytes = bufferedBytes + end - start
    if (neededBytes > BUFFERED_BYTES_MAX) return false
    if (this.#to + end - start > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(INITIAL_BUFFER_BYTES, 2 * bufferedBytes, neededBytes))
      this.#buffer.copy(larger, 0, this.#from, this.#to)
      const scannedBytes = Math.max(0, this.#scannedTo - this.#from)
      this.#setBuffer(larger)
      this.#to = bufferedBytes
      this.#scannedTo = scannedBytes
    }
    this.#to += chunk.copy(this.#buffer, this.#to, start, end)
    return true
  }

  #setBuffer(buffer: Buffer): void {
    const moreBytes = buffer.length - this.#buffer.length
    this.#buffer = buffer
    this.#from = 0
    this.#to = 0
    this.#scannedTo = 0
    if (moreBytes !== 0) this.#host.onBufferChange(this, moreBytes, buffer.length > 0)
  }
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}
