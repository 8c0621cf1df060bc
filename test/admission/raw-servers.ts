// A server for back ends of admission of every manner, good and bad: what a path answers is written byte by byte. Speaks
// just enough HTTP to know what was asked, and passes CONNECT, plain proxy requests and SOCKS5 on to itself.

import { once } from 'node:events'
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

export interface Asked {
  readonly method: string
  readonly target: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What is written; undefined: nothing, ever. After the text the connection stays open, unless it is ended here. */
export type Manner = (asked: Asked, socket: Socket, base: string) => string | undefined

export class OddServer implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #manners: Readonly<Record<string, Manner>>
  /** What was asked, by path. */
  readonly asked: Asked[] = []

  constructor(manners: Readonly<Record<string, Manner>>, tls?: { cert: string; key: string }) {
    this.#manners = manners
    const take = (socket: Socket): void => this.#take(socket)
    this.#server = tls === undefined ? createServer(take) : createTlsServer(tls, take)
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

  #take(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
    let received = ''
    const read = (chunk: Buffer): void => {
      received += chunk.toString('latin1')
      const headEnd = received.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const asked = readHead(received.slice(0, headEnd), received.slice(headEnd + 4))
      if (asked.body.length < Number(asked.headers['content-length'] ?? 0)) return
      received = ''
      this.asked.push(asked)
      const base = `http://127.0.0.1:${this.port}`
      const path = asked.target.replace(/^http:\/\/[^/]*/, '').split('?', 1)[0] ?? ''
      const answer = (this.#manners[path] ?? notFound)(asked, socket, base)
      if (answer !== undefined) socket.write(answer, 'latin1')
    }
    socket.on('data', read)
  }
}

const notFound: Manner = () => 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'

function readHead(head: string, body: string): Asked {
  const [first = '', ...lines] = head.split('\r\n')
  const [method = '', target = ''] = first.split(' ')
  const headers = lines.map((line) => {
    const at = line.indexOf(':')
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
  })
  return { method, target, headers: Object.fromEntries(headers) as Record<string, string>, body }
}

/** Passes on whatever it is asked to connect to, to a port of this host; `wants` is the password header it insists on. */
export class OddProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(port: number, wants?: string) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket))
      socket.once('data', (first: Buffer) => void this.#pass(socket, first, { port, wants }))
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

  async #pass(
    socket: Socket,
    first: Buffer,
    { port, wants }: { port: number; wants: string | undefined },
  ): Promise<void> {
    const back = connect(port, '127.0.0.1').on('error', () => undefined)
    this.#sockets.add(back)
    if (first[0] === 5) {
      socket.write(Buffer.from([5, 0]))
      await once(socket, 'data')
      socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
    } else {
      const head = first.toString('latin1')
      if (wants !== undefined && !head.includes(wants)) {
        return void socket.end(
          'HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
        )
      }
      if (head.startsWith('CONNECT ')) socket.write('HTTP/1.1 200 OK\r\n\r\n')
      else back.write(first)
    }
    socket.pipe(back).pipe(socket)
  }
}
