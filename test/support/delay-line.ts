// A long way to a host, in user space: whoever connects to it is connected to the host, and what either says arrives so
// much later. Connections alone; their own acknowledgements are as quick as the network, which is why what is under way
// is bounded as on a real line.

import { createServer, connect, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

/** What a line of 100 ms and a gigabit holds. */
const UNDER_WAY_BYTES_MAX = 12_500_000

export class DelayLine implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param delayMs one way */
  static async open(
    from: { readonly host: string; readonly port: number },
    to: { readonly host: string; readonly port: number },
    delayMs: number,
  ): Promise<DelayLine> {
    const server = createServer({ noDelay: true })
    const line = new DelayLine(server)
    server.on('connection', (near) => line.#join(near, connect({ ...to, noDelay: true }), delayMs))
    server.listen(from.port, from.host)
    await once(server, 'listening')
    return line
  }

  /** How many connections have been made over it and last. */
  get connectionCount(): number {
    return this.#sockets.size / 2
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  #join(near: Socket, far: Socket, delayMs: number): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        this.#sockets.delete(one)
        setTimeout(() => other.destroy(), delayMs)
      })
      let underWayBytes = 0
      one.on('data', (bytes: Buffer) => {
        underWayBytes += bytes.length
        if (underWayBytes > UNDER_WAY_BYTES_MAX) one.pause()
        setTimeout(() => {
          underWayBytes -= bytes.length
          if (underWayBytes <= UNDER_WAY_BYTES_MAX) one.resume()
          if (!other.destroyed) other.write(bytes)
        }, delayMs)
      })
    }
  }
}
