// Behind the front door: the HTTP server, uWebSockets.js on a private Unix socket, that answers all that is
// not raw DERP and turns WebSockets into links. The front door pipes a connection here with a number, by
// which the client's real address is found again. Which pages there are is `http-pages.ts`.

import { connect, type Socket } from 'node:net'
import { rmSync } from 'node:fs'
import type * as uWS from 'uWebSockets.js'
import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { Link, LinkListener, RemoteAddress } from '#relay/ports.ts'
import { sayFarewell } from './farewell.ts'
import { servePages, sendText, type HttpPages } from './http-pages.ts'
import { connectionNumber, proxyHeader } from './proxy-header.ts'
import { App } from './uws.ts'
import { WebSocketLink } from './web-socket-link.ts'

/** The relay's own limits apply; uWebSockets.js must never drop or close by itself before they do. */
const BACKPRESSURE_BYTES_MAX = 33_554_432
const CLOSE_UNSUPPORTED = 1003
const CLOSE_POLICY = 1008

export interface BackDoorParts {
  readonly counters: Counters
  /** Where the Unix socket is made: a folder that only this process may enter. */
  readonly socketPath: string
  readonly pages: HttpPages
  readonly isDerpEnabled: boolean
  /** Begins a session. */
  accept(link: Link, wish: { readonly wantsAnswer: boolean; readonly idealNode: string }): LinkListener
}

/** What the front door has read of a connection. */
export interface ReadSoFar {
  /** The request's head, whole. */
  readonly head: Buffer
  /** What came after it. */
  readonly behind: Buffer
  /** It asks for a WebSocket. */
  readonly isWebSocket: boolean
}

/** A client's connection that was handed over. */
interface Handed {
  readonly remote: RemoteAddress
  pause(): void
  resume(): void
}

/** What is kept with each WebSocket. */
interface Attached {
  readonly front: Handed | undefined
  readonly isRefused: boolean
  link: WebSocketLink | undefined
}

export class BackDoor {
  readonly #parts: BackDoorParts
  readonly #app = App()
  readonly #handed = new Map<number, Handed>()
  #nextNumber = 1

  constructor(parts: BackDoorParts) {
    this.#parts = parts
  }

  async listen(): Promise<void> {
    const { socketPath, pages } = this.#parts
    if (this.#parts.isDerpEnabled) this.#serveWebSockets()
    servePages(this.#app, pages)
    rmSync(socketPath, { force: true })
    await new Promise<void>((resolve, reject) => {
      this.#app.listen_unix((token) => {
        if (token) resolve()
        else reject(new Error(`can't listen on the Unix socket ${socketPath}`))
      }, socketPath)
    })
  }

  close(): void {
    this.#app.close()
    rmSync(this.#parts.socketPath, { force: true })
  }

  /** Serves a client's connection from here on. */
  handOver(client: Socket, remote: RemoteAddress, { head, behind, isWebSocket }: ReadSoFar): void {
    const number = this.#nextNumber++ >>> 0
    const inner = connect(this.#parts.socketPath)
    this.#handed.set(number, {
      remote,
      pause: () => client.pause(),
      resume: () => client.resume(),
    })
    inner.write(proxyHeader(number))
    inner.write(head)
    inner.pipe(client)
    client.pause()
    if (behind.length > 0) client.unshift(behind)
    // uWebSockets.js drops what it reads in one with a WebSocket's handshake: the client's stream begins there.
    if (isWebSocket) inner.once('data', () => client.pipe(inner))
    else client.pipe(inner)
    client.on('close', () => {
      this.#handed.delete(number)
      inner.destroy()
    })
    client.on('error', () => client.destroy())
    inner.on('error', () => client.destroy())
    inner.on('close', () => sayFarewell(client))
  }

  #serveWebSockets(): void {
    this.#app.ws<Attached>('/derp', {
      // Compression stays at its default, off: ciphertext does not compress.
      maxPayloadLength: WEB_SOCKET_MESSAGE_BYTES_MAX,
      maxBackpressure: BACKPRESSURE_BYTES_MAX,
      // The relay's keepalive frames tell the living from the dead, not pings of another layer.
      idleTimeout: 0,
      sendPingsAutomatically: false,
      upgrade: (response, request, context) => this.#upgrade(response, request, context),
      open: (socket) => this.#open(socket),
      message: (socket, message, isBinary) => {
        if (isBinary) socket.getUserData().link?.onMessage(message)
        else socket.end(CLOSE_UNSUPPORTED, 'binary messages only')
      },
      drain: (socket) => socket.getUserData().link?.onDrain(),
      close: (socket) => socket.getUserData().link?.onClose(),
    })
  }

  #upgrade(response: uWS.HttpResponse, request: uWS.HttpRequest, context: uWS.us_socket_context_t): void {
    if (request.getHeader('sec-websocket-version') !== '13') {
      response.writeStatus('400 Bad Request').writeHeader('Sec-WebSocket-Version', '13')
      return sendText(response, request, 'unsupported WebSocket protocol version, expected 13\n')
    }
    const asked = request.getHeader('sec-websocket-protocol').split(',')
    const token = asked.map((text) => text.trim()).find((text) => text.toLowerCase() === 'derp')
    const front = this.#handed.get(connectionNumber(response.getProxiedRemoteAddress()))
    const attached: Attached = { front, isRefused: token !== 'derp' || front === undefined, link: undefined }
    response.upgrade(
      attached,
      request.getHeader('sec-websocket-key'),
      token ?? '',
      // No extensions: none is of use for ciphertext.
      '',
      context,
    )
  }

  #open(socket: uWS.WebSocket<Attached>): void {
    const attached = socket.getUserData()
    if (attached.isRefused || attached.front === undefined) {
      socket.end(CLOSE_POLICY, 'expected the subprotocol derp')
      return
    }
    this.#parts.counters.add(Counter.webSocketsAccepted, 1)
    attached.link = new WebSocketLink(socket, attached.front)
    // The order is the protocol's: ServerKey leaves before anything is read.
    attached.link.attach(this.#parts.accept(attached.link, { wantsAnswer: false, idealNode: '' }))
  }
}
