// A delayed path to a host, in user space: forwards TCP connections to the host and delays the bytes in both
// directions. TCP's own acknowledgements are not delayed; so the bytes in flight are bounded, as they are on a real
// line.

import { createServer, connect, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

/** The bandwidth-delay product of 100 ms at 1 Gbit/s. */
const IN_FLIGHT_BYTES_MAX = 12_500_000

export class DelayLine implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param delayMs one-way delay */
  static async open(
    from: { readonly host: string; readonly port: number },
    to: { readonly host: string; readonly port: number },
    delayMs: number,
  ): Promise<DelayLine> {
    const server = createServer({ noDelay: true })
    const line = new DelayLine(server)
    server.on('connection', (near) => line.#forward(near, connect({ ...to, noDelay: true }), delayMs))
    server.listen(from.port, from.host)
    await once(server, 'listening')
    return line
  }

  /** The number of open connections. */
  get connectionCount(): number {
    return this.#sockets.size / 2
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  #forward(near: Socket, far: Socket, delayMs: number): void {
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
      let inFlightBytes = 0
      one.on('data', (bytes: Buffer) => {
        inFlightBytes += bytes.length
        if (inFlightBytes > IN_FLIGHT_BYTES_MAX) one.pause()
        setTimeout(() => {
          inFlightBytes -= bytes.length
          if (inFlightBytes <= IN_FLIGHT_BYTES_MAX) one.resume()
          if (!other.destroyed) other.write(bytes)
        }, delayMs)
      })
    }
  }
}
