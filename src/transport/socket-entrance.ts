// How connections come in over sockets of Node's, TLS or plain: the way without any knowledge of the runtime's
// inside, for when that has changed.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { Counter } from '#relay/counters.ts'
import { HANDSHAKE_TIMEOUT_MS, type Entrance, type EntranceParts } from './caller.ts'
import { listenOn } from './listening-server.ts'
import type { ReadPace } from './read-pace.ts'
import { SocketCaller } from './socket-caller.ts'

export interface SocketEntranceParts extends EntranceParts {
  readonly pace: ReadPace
}

export class SocketEntrance implements Entrance {
  readonly #parts: SocketEntranceParts
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(parts: SocketEntranceParts) {
    this.#parts = parts
    this.#server = parts.identity === undefined ? this.#plainServer() : this.#tlsServer(parts.identity)
    this.#server.on('connection', (socket: Socket) => this.#onConnection(socket))
  }

  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    return await listenOn(this.#server, endpoint, isShared)
  }

  /** Sockets have timers of their own. */
  sweep(): void {}

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #plainServer(): Server {
    return createServer({ noDelay: true, ...this.#keepAlive() })
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
      this.#enter(socket)
    })
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => {
      counters.add(Counter.handshakesFailed, 1)
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
    if (!this.#parts.mayEnter()) return void socket.destroy()
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Until somebody takes the socket over, its errors end it and concern nobody.
    socket.on('error', () => socket.destroy())
    if (this.#parts.identity === undefined) this.#enter(socket)
  }

  #enter(socket: Socket): void {
    this.#parts.entered(new SocketCaller(socket, this.#parts.pace))
  }
}
