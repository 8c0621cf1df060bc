// Where clients come in: one listener, TLS or plain. Reads one HTTP head from each connection. Who asks for
// DERP gets a session of the relay on that very socket; everybody else is handed, with all that was read, to
// the HTTP server behind. Bytes that came with the head go along: a client in a hurry has sent its login.

import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { byteAt } from '#protocol/bytes.ts'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import { upgradeWish } from '#protocol/upgrade.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { Link, LinkListener } from '#relay/ports.ts'
import { TokenBucket } from '#relay/token-bucket.ts'
import type { BackDoor } from './back-door.ts'
import { sayFarewell } from './farewell.ts'
import { remoteOf } from './remote-address.ts'
import { SocketLink } from './socket-link.ts'

/** TLS handshake and HTTP head each; derper allows 30 s for the head as well. */
const HANDSHAKE_TIMEOUT_MS = 30_000
const HEAD_TIMEOUT_MS = 30_000
/** Dials that wait to be accepted while a storm of reconnects is worked off. */
const BACKLOG = 8_192

/** A token (RFC 9110 §5.6.2), in lower case. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

export interface FrontDoorParts {
  readonly counters: Counters
  /** Undefined: plain TCP. */
  readonly identity: TlsOptions | undefined
  /** False: `/derp` is answered like any other path. */
  readonly isDerpEnabled: boolean
  readonly backDoor: BackDoor
  readonly limits: {
    readonly acceptsPerSecond: number
    readonly acceptBurst: number
    readonly tcpKeepaliveMs: number
  }
  readonly now: () => number
  /** Begins a session. */
  accept(link: Link, wish: { readonly wantsAnswer: boolean; readonly idealNode: string }): LinkListener
}

/** A connection that has not sent its whole head yet. */
interface Visitor {
  readonly socket: Socket
  readonly sinceMs: number
  bytes: Buffer
}

export class FrontDoor {
  readonly #parts: FrontDoorParts
  readonly #server: Server
  readonly #accepts: TokenBucket | undefined
  readonly #visitors = new Set<Visitor>()
  readonly #sockets = new Set<Socket>()

  constructor(parts: FrontDoorParts) {
    this.#parts = parts
    const { acceptsPerSecond, acceptBurst } = parts.limits
    this.#accepts = Number.isFinite(acceptsPerSecond)
      ? new TokenBucket(acceptsPerSecond, acceptBurst, parts.now())
      : undefined
    this.#server = parts.identity === undefined ? this.#plainServer() : this.#tlsServer(parts.identity)
    this.#server.on('connection', (socket: Socket) => this.#onConnection(socket))
  }

  /** Listens; `isShared` lets the relay's other threads listen on the same port. Rejects if it can't. */
  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...endpoint, backlog: BACKLOG, reusePort: isShared }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    return this.#server.address() as AddressInfo
  }

  /** Ends those who have been standing at the door for too long. */
  sweep(): void {
    const nowMs = this.#parts.now()
    for (const visitor of this.#visitors) {
      // Oldest first: the rest are younger.
      if (nowMs - visitor.sinceMs <= HEAD_TIMEOUT_MS) return
      this.#turnAway(visitor, '408 Request Timeout')
    }
  }

  /** Stops listening and ends every connection that came in here. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #plainServer(): Server {
    return createServer({ noDelay: true, ...this.#keepAlive() }, (socket) => this.#greet(socket))
  }

  #tlsServer(identity: TlsOptions): Server {
    const { counters } = this.#parts
    const options = { ...identity, noDelay: true, ...this.#keepAlive() }
    const server = createTlsServer({ ...options, handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, (socket) => {
      const isTls13 = socket.getProtocol() === 'TLSv1.3'
      const current = isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12
      counters.add(isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
      counters.add(current, 1)
      socket.on('close', () => counters.add(current, -1))
      this.#greet(socket)
    })
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => {
      counters.add(Counter.handshakesFailed, 1)
      socket.destroy()
    })
    return server
  }

  #keepAlive(): { keepAlive: boolean; keepAliveInitialDelay: number } {
    const { tcpKeepaliveMs } = this.#parts.limits
    return { keepAlive: tcpKeepaliveMs > 0, keepAliveInitialDelay: tcpKeepaliveMs }
  }

  /** Every TCP connection, before any TLS. */
  #onConnection(socket: Socket): void {
    const { counters, now } = this.#parts
    if (this.#accepts !== undefined && !this.#accepts.tryTake(1, now())) {
      counters.add(Counter.connectionsRejected, 1)
      socket.destroy()
      return
    }
    counters.add(Counter.connectionsAccepted, 1)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Until somebody takes the socket over, its errors end it and concern nobody.
    socket.on('error', () => socket.destroy())
  }

  /** A connection that can carry HTTP. */
  #greet(socket: Socket): void {
    const visitor: Visitor = { socket, sinceMs: this.#parts.now(), bytes: Buffer.alloc(0) }
    this.#visitors.add(visitor)
    const onData = (chunk: Buffer): void => this.#onBytes(visitor, chunk, onData)
    socket.on('data', onData)
    socket.on('close', () => this.#visitors.delete(visitor))
    if (this.#parts.identity !== undefined) socket.on('error', () => socket.destroy())
  }

  #onBytes(visitor: Visitor, chunk: Buffer, onData: (chunk: Buffer) => void): void {
    if (!this.#visitors.has(visitor)) return // turned away already
    visitor.bytes = visitor.bytes.length === 0 ? chunk : Buffer.concat([visitor.bytes, chunk])
    const { bytes, socket } = visitor
    // No method begins so; TLS on a plain port does, and is told at once rather than left waiting.
    if (!isLetter(byteAt(bytes, 0))) return this.#turnAway(visitor, '400 Bad Request')
    const headEnd = httpHeadEnd(bytes, 0, bytes.length)
    if (headEnd < 0) {
      if (bytes.length > HTTP_HEAD_BYTES_MAX) this.#turnAway(visitor, '431 Request Header Fields Too Large')
      return
    }
    const head = parseHttpHead(bytes, 0, headEnd)
    socket.off('data', onData)
    this.#visitors.delete(visitor)
    if (head === undefined || !isAnswerable(head)) return this.#turnAway(visitor, '400 Bad Request')
    this.#admit(visitor, head, headEnd)
  }

  #admit(visitor: Visitor, head: HttpHead, headEnd: number): void {
    const { socket, bytes } = visitor
    if (head.firstLine[0] === 'CONNECT') {
      return this.#turnAway(visitor, '403 Forbidden', 'CONNECT not enabled\n')
    }
    const wish = upgradeWish(head)
    if (wish.kind === 'http' || !this.#parts.isDerpEnabled) {
      const isWebSocket = head.fields.get('upgrade')?.toLowerCase() === 'websocket'
      const behind = bytes.subarray(headEnd)
      this.#parts.backDoor.handOver(socket, { head: inHttp11(head, bytes, headEnd), behind, isWebSocket })
      return
    }
    if (wish.isFastStart) this.#parts.counters.add(Counter.fastStarts, 1)
    const link = new SocketLink(socket, remoteOf(socket))
    const listener = this.#parts.accept(link, { wantsAnswer: !wish.isFastStart, idealNode: wish.idealNode })
    link.attach(listener)
    if (headEnd < bytes.length) listener.receive(bytes, headEnd, bytes.length)
  }

  /** Answers in HTTP, in case somebody reads it, and ends the connection. */
  #turnAway(visitor: Visitor, status: string, text = `${status.slice(4)}\n`): void {
    this.#parts.counters.add(Counter.headsRefused, 1)
    this.#visitors.delete(visitor)
    const { socket } = visitor
    sayFarewell(
      socket,
      `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n` +
        `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
    )
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
  if (version !== 'HTTP/1.0' || fields.has('upgrade')) return bytes.subarray(0, headEnd)
  const host = fields.has('host') ? '' : 'Host: none\r\n'
  const line = Buffer.from(`${method} ${target} HTTP/1.1\r\nConnection: close\r\n${host}`, 'latin1')
  return Buffer.concat([line, bytes.subarray(bytes.indexOf('\n') + 1, headEnd)])
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}
