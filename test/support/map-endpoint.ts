// Stands between Headscale and the relay that has the map: passes connections on, or fails in the ways in which endpoints fail.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/**
 * - `pass`: the relay answers.
 * - `reset`: connections end at once.
 * - `hang`: nothing is answered.
 * - `garbage`: 200 with something that is no map.
 * - `error`: 503 in plain text, as this relay does it.
 * - `jsonError`: 503 with a JSON object, as many servers do it.
 */
export type EndpointMode = 'pass' | 'reset' | 'hang' | 'garbage' | 'error' | 'jsonError'

const ANSWERS: Readonly<Partial<Record<EndpointMode, readonly [status: string, body: string]>>> = {
  garbage: ['200 OK', '<html>welcome</html>'],
  error: ['503 Service Unavailable', 'too many requests\n'],
  jsonError: ['503 Service Unavailable', '{"error":"overloaded"}'],
}

export class MapEndpoint implements AsyncDisposable {
  readonly #server: Server
  readonly #toPort: number
  readonly #sockets = new Set<Socket>()
  #mode: EndpointMode = 'pass'
  /** Connections since the mode was set. */
  asked = 0

  private constructor(server: Server, toPort: number) {
    this.#server = server
    this.#toPort = toPort
    server.on('connection', (socket) => this.#onConnection(socket))
  }

  /** @param toPort where the relay has its pages */
  static async start(toPort: number): Promise<MapEndpoint> {
    const server = createServer()
    const endpoint = new MapEndpoint(server, toPort)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return endpoint
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/derpmap.json`)
  }

  set mode(mode: EndpointMode) {
    this.#mode = mode
    this.asked = 0
    // Kept connections would go on in the former mode.
    for (const socket of this.#sockets) socket.destroy()
  }

  #onConnection(socket: Socket): void {
    this.asked++
    this.#keep(socket)
    if (this.#mode === 'reset') return void socket.resetAndDestroy()
    if (this.#mode === 'hang') return
    const [status, body] = ANSWERS[this.#mode] ?? []
    if (status !== undefined && body !== undefined) {
      const head = `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`
      socket.once('data', () => socket.end(head + body))
      return
    }
    const relay = connect(this.#toPort, '127.0.0.1')
    this.#keep(relay)
    socket.pipe(relay).pipe(socket)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
