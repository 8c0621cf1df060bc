// How connections come in over sockets of Node's, TLS or plain: the way without any knowledge of the runtime's
// inside, for when that has changed. Promises what the other way does, with two differences: TLS is made for every
// connection at once, so half a hello costs as much as half a handshake, and records are told by bytes alone, so a remote
// that sends much data may send more beside it.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { Counter } from '#relay/counters.ts'
import { HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX, type Acceptor, type AcceptorParts } from './connection.ts'
import { Listener } from './listening-port.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { RecordBudget } from './record-budget.ts'
import { SocketConnection } from './socket-connection.ts'

/** Of data, that are taken for a record: so that no common client's records are smaller by much. */
const BYTES_PER_RECORD = 64

/** Node's limit must not come before ours. */
const NEVER_MS = 2 * HANDSHAKE_TIMEOUT_MS

export interface SocketAcceptorParts extends AcceptorParts {
  readonly scheduler: ReadScheduler
}

/** A TLS connection whose handshake is done. */
interface Secured {
  readonly tcp: Socket
  readonly budget: RecordBudget
  dataBytes: number
}

export class SocketAcceptor implements Acceptor {
  readonly #parts: SocketAcceptorParts
  readonly #listener: Listener
  readonly #sockets = new Set<Socket>()
  /** TCP connections that are in their TLS handshake by their remote, and since when; oldest first. */
  readonly #handshakes = new Map<string, { readonly tcp: Socket; readonly sinceMs: number }>()
  readonly #secured = new Map<TLSSocket, Secured>()

  constructor(parts: SocketAcceptorParts) {
    this.#parts = parts
    const server = parts.identity === undefined ? this.#plainServer() : this.#tlsServer(parts.identity)
    this.#listener = new Listener(server, { counters: parts.counters, now: parts.now })
    server.on('connection', (socket: Socket) => this.#onConnection(socket))
  }

  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    return await this.#listener.listen(endpoint, isShared)
  }

  sweep(): void {
    this.#listener.sweep()
    const nowMs = this.#parts.now()
    for (const [remote, { sinceMs }] of this.#handshakes) {
      if (nowMs - sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#giveUp(remote, Counter.handshakesTimedOut)
    }
    for (const [socket, secured] of this.#secured) this.#lookAtRecords(socket, secured, nowMs)
  }

  async close(): Promise<void> {
    const closed = this.#listener.close()
    this.#handshakes.clear()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #plainServer(): Server {
    return createServer({ noDelay: true, ...this.#keepAlive() })
  }

  #tlsServer(identity: TlsOptions): Server {
    const options = { ...identity, noDelay: true, ...this.#keepAlive(), handshakeTimeout: NEVER_MS }
    const server = createTlsServer(options, (socket) => this.#onSecure(socket))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      this.#giveUp(remoteName(socket), failureCounter(error.code ?? ''))
      socket.destroy()
    })
    return server
  }

  #keepAlive(): { keepAlive: boolean; keepAliveInitialDelay: number } {
    const { keepAliveMs } = this.#parts
    return { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs }
  }

  /** Every TCP connection, before any TLS. */
  #onConnection(socket: Socket): void {
    if (!this.#listener.mayTake(descriptorOf(socket)) || !this.#parts.mayAccept())
      return void socket.destroy()
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Until somebody takes the socket over, its errors end it and concern nobody.
    socket.on('error', () => socket.destroy())
    if (this.#parts.identity === undefined) return this.#enter(socket)
    const remote = remoteName(socket)
    this.#handshakes.set(remote, { tcp: socket, sinceMs: this.#parts.now() })
    socket.on('close', () => this.#giveUp(remote, Counter.handshakesLeft))
    if (this.#handshakes.size <= HANDSHAKES_MAX / this.#parts.threadCount) return
    for (const oldest of this.#handshakes.keys()) return this.#giveUp(oldest, Counter.handshakesCrowdedOut)
  }

  /** Ends a handshake that is under way, and counts it. */
  #giveUp(remote: string, reason: number): void {
    const handshake = this.#handshakes.get(remote)
    if (handshake === undefined) return
    this.#handshakes.delete(remote)
    this.#parts.counters.add(reason, 1)
    handshake.tcp.destroy()
  }

  #onSecure(socket: TLSSocket): void {
    const { counters, now } = this.#parts
    const remote = remoteName(socket)
    const tcp = this.#handshakes.get(remote)?.tcp
    this.#handshakes.delete(remote)
    const isTls13 = socket.getProtocol() === 'TLSv1.3'
    const current = isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12
    counters.add(isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
    counters.add(current, 1)
    if (tcp !== undefined) this.#secured.set(socket, { tcp, budget: new RecordBudget(now()), dataBytes: 0 })
    socket.on('close', () => {
      this.#secured.delete(socket)
      counters.add(current, -1)
    })
    this.#enter(socket)
  }

  #lookAtRecords(socket: TLSSocket, secured: Secured, nowMs: number): void {
    const { bytesRead } = socket
    const records = (bytesRead - secured.dataBytes) / BYTES_PER_RECORD
    secured.dataBytes = bytesRead
    if (!secured.budget.isExceeded(secured.tcp.bytesRead - bytesRead, records, nowMs)) return
    this.#parts.counters.add(Counter.tlsUseless, 1)
    socket.destroy(new Error('its records bring no data'))
  }

  #enter(socket: Socket): void {
    this.#parts.accepted(new SocketConnection(socket, this.#parts.scheduler))
  }
}

/** Negative where this Node does not tell; then the system's own limit is the only one. */
function descriptorOf(socket: Socket): number {
  return (socket as { _handle?: { fd?: number } })._handle?.fd ?? -1
}

/** Unique among connections that are open. */
function remoteName({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** @param code Node's, of an error in the handshake */
function failureCounter(code: string): number {
  if (code === 'ECONNRESET' || code === 'EPIPE') return Counter.handshakesLeft
  const isForeign = code === 'ERR_SSL_HTTP_REQUEST' || code === 'ERR_SSL_WRONG_VERSION_NUMBER'
  return isForeign ? Counter.handshakesNotTls : Counter.handshakesBroken
}
