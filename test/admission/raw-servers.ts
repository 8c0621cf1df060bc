// An HTTP server that answers each path with raw text, for responses that no HTTP library would send, and a proxy that
// forwards CONNECT, plain requests and SOCKS5 to one port.

import { once } from 'node:events'
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

export interface RawRequest {
  readonly method: string
  readonly target: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Returns the text to write; undefined for none. The connection stays open unless the responder ends it. */
export type Responder = (request: RawRequest, socket: Socket, base: string) => string | undefined

export class RawHttpServer implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #responders: Readonly<Record<string, Responder>>
  constructor(responders: Readonly<Record<string, Responder>>, tls?: { cert: string; key: string }) {
    this.#responders = responders
    const accept = (socket: Socket): void => this.#accept(socket)
    this.#server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept)
  }

  async listen(host = '127.0.0.1', port = 0): Promise<this> {
    this.#server.listen(port, host)
    await once(this.#server, 'listening')
    return this
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
    let received = ''
    const read = (chunk: Buffer): void => {
      received += chunk.toString('latin1')
      const headEnd = received.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const request = readHead(received.slice(0, headEnd), received.slice(headEnd + 4))
      if (request.body.length < Number(request.headers['content-length'] ?? 0)) return
      received = ''
      const base = `http://127.0.0.1:${this.port}`
      const path = request.target.replace(/^http:\/\/[^/]*/, '').split('?', 1)[0] ?? ''
      const answer = (this.#responders[path] ?? notFound)(request, socket, base)
      if (answer !== undefined) socket.write(answer, 'latin1')
    }
    socket.on('data', read)
  }
}

const notFound: Responder = () => 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'

function readHead(head: string, body: string): RawRequest {
  const [first = '', ...lines] = head.split('\r\n')
  const [method = '', target = ''] = first.split(' ')
  const headers = lines.map((line) => {
    const at = line.indexOf(':')
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
  })
  return { method, target, headers: Object.fromEntries(headers) as Record<string, string>, body }
}

/** Connects every request to one port of this host; `credentials` is a text that requests must contain. */
export class ForwardingProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(port: number, credentials?: string) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
      socket.once('data', (first: Buffer) => void this.#forward(socket, first, { port, credentials }))
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #forward(
    socket: Socket,
    first: Buffer,
    { port, credentials }: { port: number; credentials: string | undefined },
  ): Promise<void> {
    const upstream = connect(port, '127.0.0.1').on('error', () => undefined)
    this.#sockets.add(upstream)
    if (first[0] === 5) {
      socket.write(Buffer.from([5, 0]))
      await once(socket, 'data')
      socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
    } else {
      const head = first.toString('latin1')
      if (credentials !== undefined && !head.includes(credentials)) {
        return void socket.end(
          'HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
        )
      }
      if (head.startsWith('CONNECT ')) socket.write('HTTP/1.1 200 OK\r\n\r\n')
      else upstream.write(first)
    }
    socket.pipe(upstream).pipe(socket)
  }
}
