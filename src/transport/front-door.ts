// Where clients come in: one listener, TLS or plain. Reads one HTTP head from each connection. Who asks for
// DERP gets a session of the relay on that very socket; everybody else is handed, with all that was read, to
// the HTTP server behind. Bytes that came with the head go along: a client in a hurry has sent its login.

import type { AddressInfo } from 'node:net'
import { byteAt } from '#protocol/bytes.ts'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import { upgradeWish } from '#protocol/upgrade.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { Link, LinkListener } from '#relay/ports.ts'
import { TokenBucket } from '#relay/token-bucket.ts'
import type { BackDoor } from './back-door.ts'
import type { Caller, Entrance } from './caller.ts'

/** For the HTTP head; derper allows 30 s as well. */
const HEAD_TIMEOUT_MS = 30_000

/** A token (RFC 9110 §5.6.2), in lower case. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

export interface FrontDoorParts {
  readonly counters: Counters
  /** False: `/derp` is answered like any other path. */
  readonly isDerpEnabled: boolean
  readonly backDoor: BackDoor
  readonly limits: {
    readonly acceptsPerSecond: number
    readonly acceptBurst: number
  }
  readonly now: () => number
  /** Makes the way in, which asks and tells this door. */
  entrance(door: DoorKeeper): Promise<Entrance>
  /** Begins a session. */
  accept(link: Link, wish: { readonly wantsAnswer: boolean; readonly idealNode: string }): LinkListener
}

/** What an entrance asks and tells the front door. */
export interface DoorKeeper {
  mayEnter(): boolean
  entered(caller: Caller): void
}

export class FrontDoor implements DoorKeeper {
  readonly #parts: FrontDoorParts
  readonly #accepts: TokenBucket | undefined
  readonly #visitors = new Set<Visitor>()
  #entrance: Entrance | undefined = undefined

  constructor(parts: FrontDoorParts) {
    this.#parts = parts
    const { acceptsPerSecond, acceptBurst } = parts.limits
    this.#accepts = Number.isFinite(acceptsPerSecond)
      ? new TokenBucket(acceptsPerSecond, acceptBurst, parts.now())
      : undefined
  }

  /** Listens; `isShared` lets the relay's other threads listen on the same port. Rejects if it can't. */
  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    this.#entrance = await this.#parts.entrance(this)
    return await this.#entrance.listen(endpoint, isShared)
  }

  /** Ends those who have been standing at the door for too long. */
  sweep(): void {
    this.#entrance?.sweep()
    const nowMs = this.#parts.now()
    for (const visitor of this.#visitors) {
      // Oldest first: the rest are younger.
      if (nowMs - visitor.sinceMs <= HEAD_TIMEOUT_MS) return
      this.#turnAway(visitor, '408 Request Timeout')
    }
  }

  /** Stops listening and ends every connection that came in here. */
  async close(): Promise<void> {
    await this.#entrance?.close()
  }

  /** Every TCP connection, before any TLS. */
  mayEnter(): boolean {
    const { counters, now } = this.#parts
    const isAccepted = this.#accepts === undefined || this.#accepts.tryTake(1, now())
    counters.add(isAccepted ? Counter.connectionsAccepted : Counter.connectionsRejected, 1)
    return isAccepted
  }

  entered(caller: Caller): void {
    const visitor = new Visitor(caller, this.#parts.now(), {
      heard: (bytes) => this.#onBytes(visitor, bytes),
      left: () => this.#visitors.delete(visitor),
    })
    this.#visitors.add(visitor)
    caller.attach(visitor)
  }

  /** All that the visitor has sent so far, borrowed. */
  #onBytes(visitor: Visitor, bytes: Buffer): void {
    if (!this.#visitors.has(visitor)) return // turned away already
    // No method begins so; TLS on a plain port does, and is told at once rather than left waiting.
    if (!isLetter(byteAt(bytes, 0))) return this.#turnAway(visitor, '400 Bad Request')
    const headEnd = httpHeadEnd(bytes, 0, bytes.length)
    if (headEnd < 0) {
      if (bytes.length > HTTP_HEAD_BYTES_MAX) this.#turnAway(visitor, '431 Request Header Fields Too Large')
      else visitor.keep(bytes)
      return
    }
    const head = parseHttpHead(bytes, 0, headEnd)
    if (head === undefined || !isAnswerable(head)) return this.#turnAway(visitor, '400 Bad Request')
    if (head.firstLine[0] === 'CONNECT') {
      return this.#turnAway(visitor, '403 Forbidden', 'CONNECT not enabled\n')
    }
    this.#visitors.delete(visitor)
    this.#admit(visitor.caller, head, { bytes, headEnd })
  }

  #admit(caller: Caller, head: HttpHead, { bytes, headEnd }: { bytes: Buffer; headEnd: number }): void {
    const wish = upgradeWish(head)
    if (wish.kind === 'http' || !this.#parts.isDerpEnabled) {
      const isWebSocket = head.fields.get('upgrade')?.toLowerCase() === 'websocket'
      const behind = Buffer.from(bytes.subarray(headEnd))
      const socket = caller.toSocket()
      this.#parts.backDoor.handOver(socket, caller.remote, {
        head: inHttp11(head, bytes, headEnd),
        behind,
        isWebSocket,
      })
      return
    }
    if (wish.isFastStart) this.#parts.counters.add(Counter.fastStarts, 1)
    const listener = this.#parts.accept(caller, { wantsAnswer: !wish.isFastStart, idealNode: wish.idealNode })
    caller.attach(listener)
    if (headEnd < bytes.length) listener.receive(bytes, headEnd, bytes.length)
  }

  /** Answers in HTTP, in case somebody reads it, and ends the connection. */
  #turnAway(visitor: Visitor, status: string, text = `${status.slice(4)}\n`): void {
    this.#parts.counters.add(Counter.headsRefused, 1)
    this.#visitors.delete(visitor)
    const { caller } = visitor
    const answer =
      `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`
    caller.write(Buffer.from(answer), true)
    caller.close()
  }
}

/** A connection that has not sent its whole head yet. */
class Visitor implements LinkListener {
  readonly caller: Caller
  readonly sinceMs: number
  readonly #told: { heard(bytes: Buffer): void; left(): void }
  #bytes = Buffer.alloc(0)

  constructor(caller: Caller, sinceMs: number, told: { heard(bytes: Buffer): void; left(): void }) {
    this.caller = caller
    this.sinceMs = sinceMs
    this.#told = told
  }

  /** More is to come. */
  keep(bytes: Buffer): void {
    this.#bytes = Buffer.from(bytes)
  }

  receive(chunk: Buffer, start: number, end: number): void {
    const part = chunk.subarray(start, end)
    this.#told.heard(this.#bytes.length === 0 ? part : Buffer.concat([this.#bytes, part]))
  }

  written(): void {}

  closed(): void {
    this.#told.left()
  }
}

/** What the HTTP server behind would leave without an answer until it gives up: no Host, a name that is none. */
function isAnswerable({ firstLine, fields }: HttpHead): boolean {
  const version = firstLine[2]
  if (version !== 'HTTP/1.0' && !(version.startsWith('HTTP/1.') && fields.has('host'))) return false
  for (const name of fields.keys()) if (!FIELD_NAME.test(name)) return false
  return true
}

/**
 * A head as the HTTP server behind reads it: it knows HTTP/1.1 alone, but load balancers check health in HTTP/1.0.
 * There the connection ends with the answer, and there are no WebSockets.
 */
function inHttp11({ firstLine, fields }: HttpHead, bytes: Buffer, headEnd: number): Buffer {
  const [method, target, version] = firstLine
  if (version !== 'HTTP/1.0' || fields.has('upgrade')) return Buffer.from(bytes.subarray(0, headEnd))
  const host = fields.has('host') ? '' : 'Host: none\r\n'
  const line = Buffer.from(`${method} ${target} HTTP/1.1\r\nConnection: close\r\n${host}`, 'latin1')
  return Buffer.concat([line, bytes.subarray(bytes.indexOf('\n') + 1, headEnd)])
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}
