// A bare TCP or TLS socket for tests that say what no client would: sends bytes, collects what comes back, and
// tells how it ended.

import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'

export class RawSocket {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #isEnded = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    const over = (): void => {
      this.#isEnded = true
      this.#wake()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    // A reset is an end like another here; which one it was is not what these tests are about.
    socket.on('error', over)
    socket.on('close', over)
  }

  static async plain(port: number): Promise<RawSocket> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new RawSocket(socket)
  }

  static async tls(port: number, options: ConnectionOptions = {}): Promise<RawSocket> {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      rejectUnauthorized: false,
      ...options,
    })
    await once(socket, 'secureConnect')
    socket.setNoDelay(true)
    return new RawSocket(socket)
  }

  get received(): Buffer {
    return this.#received
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  /** Waits until so many bytes have come, or the end. */
  async atLeast(bytes: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= bytes || this.#isEnded)
    return this.#received
  }

  /** Waits for the end; returns all that came before it. */
  async ended(): Promise<Buffer> {
    await this.#until(() => this.#isEnded)
    return this.#received
  }

  destroy(): void {
    this.socket.destroy()
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
