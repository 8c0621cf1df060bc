// A connection that speaks HTTP, before and between requests: gathers one head at a time and asks its host what becomes of
// it. While an answer waits to be taken, nothing further is read, so that what is held is one head and one read at most,
// whatever the remote sends. Not a router, and not a reader of bodies: who sends one is answered and left.

import { byteAt } from '#protocol/bytes.ts'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import type { LinkListener } from '#relay/ports.ts'
import type { Connection } from './connection.ts'

/** Room for the usual head; more is taken as it comes. */
const ROOM_BYTES = 1_024
/** What may arrive though reading was stopped, beyond the head: two of the largest reads. More is no transport of ours. */
const HELD_BYTES_MAX = HTTP_HEAD_BYTES_MAX + 131_072
/** Where a head may have to be looked at again, since its end is three bytes in one read and one in the next. */
const END_BYTES = 4

const NOTHING = Buffer.alloc(0)

/** A head, and the bytes behind it, borrowed for the call. */
export interface Request {
  readonly head: HttpHead
  readonly chunk: Buffer
  readonly start: number
  readonly end: number
}

/** Who receives visitors. */
export interface HttpConnectionHost {
  /** One request, whole. */
  asked(http: HttpConnection, request: Request): void
  /** It says what is no request, or too much. */
  misspoke(http: HttpConnection, status: string): void
  /** It holds more bytes than before, or fewer. */
  holds(http: HttpConnection, moreBytes: number, isHolder: boolean): void
  /** An answer has been taken by the system: calls `goOn` when it is this connection's turn. */
  taken(goOn: () => void): void
  /** Nothing of the next request is here yet. */
  served(http: HttpConnection): void
  /** The next request has begun. */
  begun(http: HttpConnection): void
  left(http: HttpConnection): void
}

export class HttpConnection implements LinkListener {
  readonly connection: Connection
  /** When its present stage began: set by its host. */
  sinceMs = 0
  readonly #host: HttpConnectionHost
  /** What has come and was not used: at [from, to). */
  #bytes: Buffer = NOTHING
  #from = 0
  #to = 0
  /** Up to here there is no end of a head. */
  #lookedTo = 0
  #isAnswering = false
  #isBetween = false
  #isOver = false

  constructor(connection: Connection, host: HttpConnectionHost) {
    this.connection = connection
    this.#host = host
  }

  /** An answer is under way. */
  get isAnswering(): boolean {
    return this.#isAnswering
  }

  /** It has been served, and has not begun to ask again. */
  get isBetween(): boolean {
    return this.#isBetween
  }

  /** Sends an answer; the next request is read when that has been taken. */
  answer(bytes: Uint8Array, isLast: boolean): void {
    this.#isAnswering = true
    this.connection.write(bytes, true)
    if (isLast) this.leave()
    else this.connection.pause()
  }

  /** Ends the connection in order; what it still sends is dropped. */
  leave(): void {
    if (this.#isOver) return
    this.release()
    this.connection.close()
  }

  /** Ends the connection at once. */
  dismiss(): void {
    this.release()
    this.connection.destroy()
  }

  /** Goes on as something else: nothing more is read here. */
  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#hold(NOTHING)
    this.#host.left(this)
  }

  receive(chunk: Buffer, start: number, end: number): void {
    if (this.#isOver) return
    if (this.#isBetween) {
      this.#isBetween = false
      this.#host.begun(this)
    }
    const isFirst = this.#from === this.#to
    if (!isFirst || this.#isAnswering) {
      if (!this.#append(chunk, start, end)) return this.dismiss()
      if (!this.#isAnswering) this.#read(this.#bytes, this.#from, this.#to)
      return
    }
    this.#lookedTo = start
    this.#read(chunk, start, end)
  }

  /**
   * The answer has been taken by the system. The runtime tells of that in the turn in which it was written, and again for
   * what is written then: without an order of turns, all that one has sent would be answered before anybody else is heard.
   */
  written(): void {
    if (this.#isOver) this.#isAnswering = false
    else this.#host.taken(this.#goOn)
  }

  readonly #goOn = (): void => {
    this.#isAnswering = false
    if (this.#isOver) return
    this.#lookedTo = this.#from
    if (this.#from < this.#to) this.#read(this.#bytes, this.#from, this.#to)
    if (this.#isOver || this.#isAnswering) return
    if (this.#from === this.#to) {
      this.#isBetween = true
      this.#host.served(this)
    }
    if (!this.#isOver) this.connection.resume()
  }

  closed(): void {
    this.release()
  }

  /** Looks for a head in chunk[start, end), which is either what is held or what has just come. */
  #read(chunk: Buffer, start: number, end: number): void {
    if (start === end) return this.#keep(chunk, start, end)
    // No method begins otherwise; TLS on a plain port does, and is told at once rather than left waiting.
    if (!isLetter(byteAt(chunk, start))) return this.#host.misspoke(this, '400 Bad Request')
    const headEnd = httpHeadEnd(chunk, Math.max(start, this.#lookedTo - END_BYTES), end)
    const headBytes = (headEnd < 0 ? end + 1 : headEnd) - start
    if (headBytes > HTTP_HEAD_BYTES_MAX) {
      return this.#host.misspoke(this, '431 Request Header Fields Too Large')
    }
    if (headEnd < 0) return this.#keep(chunk, start, end)
    const head = parseHttpHead(chunk, start, headEnd)
    if (head === undefined) return this.#host.misspoke(this, '400 Bad Request')
    this.#host.asked(this, { head, chunk, start: headEnd, end })
    if (!this.#isOver) this.#keep(chunk, headEnd, end)
  }

  /** Keeps chunk[start, end), which may lie in what is kept already, and nothing else. */
  #keep(chunk: Buffer, start: number, end: number): void {
    if (chunk === this.#bytes && start < end) {
      this.#from = start
    } else if (chunk === this.#bytes || start === end) {
      this.#hold(NOTHING)
    } else {
      this.#hold(Buffer.allocUnsafeSlow(Math.max(ROOM_BYTES, end - start)))
      this.#to = chunk.copy(this.#bytes, 0, start, end)
    }
    this.#lookedTo = this.#to
  }

  /** False if that would be too much. */
  #append(chunk: Buffer, start: number, end: number): boolean {
    const heldBytes = this.#to - this.#from
    const wantedBytes = heldBytes + end - start
    if (wantedBytes > HELD_BYTES_MAX) return false
    if (this.#to + end - start > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(ROOM_BYTES, 2 * heldBytes, wantedBytes))
      this.#bytes.copy(larger, 0, this.#from, this.#to)
      const lookedBytes = Math.max(0, this.#lookedTo - this.#from)
      this.#hold(larger)
      this.#to = heldBytes
      this.#lookedTo = lookedBytes
    }
    this.#to += chunk.copy(this.#bytes, this.#to, start, end)
    return true
  }

  #hold(bytes: Buffer): void {
    const moreBytes = bytes.length - this.#bytes.length
    this.#bytes = bytes
    this.#from = 0
    this.#to = 0
    this.#lookedTo = 0
    if (moreBytes !== 0) this.#host.holds(this, moreBytes, bytes.length > 0)
  }
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}
