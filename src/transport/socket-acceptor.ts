// An acceptor over Node's sockets, TLS or plain. It needs no knowledge of the runtime's internals, and is the fallback for when
// those have changed. It keeps the same contract as handle-acceptor.ts, with one difference: records are estimated from bytes,
// so a remote that sends much data may send more records without data. Here, too, the hello is read before TLS is set up,
// because it decides on the certificate. Runs on a relay thread, and for the redirect port on the control thread.

import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import { helloState, readHello } from '#protocol/tls-hello.ts'
import { Counter } from '#relay/counters.ts'
import { HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX, type Acceptor, type AcceptorParts } from './acceptor.ts'
import { closeGracefully } from './graceful-close.ts'
import { ListeningPort, userTimeoutOf, type ListenAddress } from './listening-port.ts'
import { descriptorOf } from './native.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { RecordBudget } from './record-budget.ts'
import { remoteOf } from './remote-address.ts'
import { SocketConnection } from './socket-connection.ts'
import type { TlsChoice } from './tls-contexts.ts'

/** So many bytes of data count as one record. No common client's records are much smaller. */
const BYTES_PER_RECORD = 64

/** Node's own time limit must not be reached before ours. */
const NEVER_MS = 2 * HANDSHAKE_TIMEOUT_MS

export interface SocketAcceptorParts extends AcceptorParts {
  readonly scheduler: ReadScheduler
}

/** A TLS connection whose handshake is done. */
interface SecureConnection {
  readonly tcp: Socket
  readonly budget: RecordBudget
  dataBytes: number
}

export class SocketAcceptor implements Acceptor {
  readonly #parts: SocketAcceptorParts
  readonly #port: ListeningPort
  readonly #sockets = new Set<Socket>()
  /** TLS handshakes in progress, by the name of the remote, and since when; oldest first. */
  readonly #handshakes = new Map<string, { readonly tcp: Socket; readonly sinceMs: number }>()
  readonly #secure = new Map<TLSSocket, SecureConnection>()
  /** Servers that do not listen, one per certificate: each does the handshakes that are given to it. */
  readonly #tlsServers = new WeakMap<TlsChoice, TlsServer>()

  constructor(parts: SocketAcceptorParts) {
    this.#parts = parts
    const { counters, keepAliveMs, native, now } = parts
    const keepAlive = { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs }
    const server = createServer({ noDelay: true, ...keepAlive })
    this.#port = new ListeningPort(server, { counters, now, native, userTimeout: userTimeoutOf(parts) })
    server.on('connection', (socket: Socket) => this.#onConnection(socket))
  }

  async listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    return await this.#port.listen(endpoint, isShared)
  }

  setUserTimeout(ms: number): void {
    this.#port.setUserTimeout(ms)
  }

  sweep(): void {
    this.#port.sweep()
    const nowMs = this.#parts.now()
    for (const [remote, { sinceMs }] of this.#handshakes) {
      if (nowMs - sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#abortHandshake(remote, Counter.handshakesTimedOut)
    }
    for (const [socket, connection] of this.#secure) this.#checkRecords(socket, connection, nowMs)
  }

  stopListening(): void {
    this.#port.stopListening()
  }

  async close(): Promise<void> {
    const closed = this.#port.close()
    this.#handshakes.clear()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #tlsServerFor(choice: TlsChoice): TlsServer {
    const existing = this.#tlsServers.get(choice)
    if (existing !== undefined) return existing
    const server = createTlsServer({ ...choice.options, handshakeTimeout: NEVER_MS }, (socket) =>
      this.#onSecure(socket, choice),
    )
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      this.#abortHandshake(remoteName(socket), failureCounter(error.code ?? ''))
      socket.destroy()
    })
    this.#tlsServers.set(choice, server)
    return server
  }

  /** Every TCP connection, before any TLS. */
  #onConnection(socket: Socket): void {
    if (!this.#port.mayKeep(descriptorOf(socket)) || !this.#parts.host.tryAccept(() => remoteOf(socket).ip))
      return void socket.destroy()
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Until the handshake is done, an error just ends the socket.
    socket.on('error', () => socket.destroy())
    if (this.#parts.tls === undefined) return this.#handOver(socket)
    const remote = remoteName(socket)
    this.#handshakes.set(remote, { tcp: socket, sinceMs: this.#parts.now() })
    socket.on('close', () => this.#abortHandshake(remote, Counter.handshakesLeft))
    this.#readHello(socket, remote)
    if (this.#handshakes.size <= HANDSHAKES_MAX / this.#parts.threadCount) return
    for (const oldest of this.#handshakes.keys())
      return this.#abortHandshake(oldest, Counter.handshakesCrowdedOut)
  }

  #readHello(socket: Socket, remote: string): void {
    let bytes: Buffer = Buffer.alloc(0)
    const onData = (part: Buffer): void => {
      bytes = bytes.length === 0 ? part : Buffer.concat([bytes, part])
      const state = helloState(bytes)
      if (state === 'partial') return
      socket.off('data', onData)
      if (state === 'foreign') return this.#abortHandshake(remote, Counter.handshakesNotTls)
      socket.pause()
      const { localAddress = '' } = socket
      const choice = this.#parts.tls?.choose(readHello(bytes), () => localAddress)
      if (choice === undefined) return this.#abortHandshake(remote, Counter.handshakesUncertified)
      socket.unshift(bytes)
      this.#tlsServerFor(choice).emit('connection', socket)
    }
    socket.on('data', onData)
  }

  /** Aborts a handshake in progress, and counts it. */
  #abortHandshake(remote: string, reason: number): void {
    const handshake = this.#handshakes.get(remote)
    if (handshake === undefined) return
    this.#handshakes.delete(remote)
    this.#parts.counters.add(reason, 1)
    handshake.tcp.destroy()
  }

  #onSecure(socket: TLSSocket, { isChallenge }: TlsChoice): void {
    const { counters, now } = this.#parts
    const remote = remoteName(socket)
    const tcp = this.#handshakes.get(remote)?.tcp
    this.#handshakes.delete(remote)
    const isTls13 = socket.getProtocol() === 'TLSv1.3'
    const current = isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12
    counters.add(isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
    counters.add(current, 1)
    if (tcp !== undefined) this.#secure.set(socket, { tcp, budget: new RecordBudget(now()), dataBytes: 0 })
    socket.on('close', () => {
      this.#secure.delete(socket)
      counters.add(current, -1)
    })
    if (!isChallenge) return this.#handOver(socket)
    // The authority has seen what it wanted to see (RFC 8737 §3).
    socket.on('error', () => socket.destroy())
    closeGracefully(socket)
  }

  #checkRecords(socket: TLSSocket, connection: SecureConnection, nowMs: number): void {
    const { bytesRead } = socket
    const records = (bytesRead - connection.dataBytes) / BYTES_PER_RECORD
    connection.dataBytes = bytesRead
    if (!connection.budget.isExceeded(connection.tcp.bytesRead - bytesRead, records, nowMs)) return
    this.#parts.counters.add(Counter.tlsUseless, 1)
    socket.destroy(new Error('too many TLS records without data'))
  }

  #handOver(socket: Socket): void {
    const { host, native, scheduler } = this.#parts
    host.onConnection(new SocketConnection(socket, scheduler, native))
  }
}

/** Unique among open connections. */
function remoteName({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** @param code of Node's error in the handshake */
function failureCounter(code: string): number {
  if (code === 'ECONNRESET' || code === 'EPIPE') return Counter.handshakesLeft
  const isForeign = code === 'ERR_SSL_HTTP_REQUEST' || code === 'ERR_SSL_WRONG_VERSION_NUMBER'
  return isForeign ? Counter.handshakesNotTls : Counter.handshakesBroken
}
