// A bare TCP or TLS socket, for tests that send what no client sends: sends bytes, collects the answer, and reports whether the
// connection has ended.

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
    const onEnd = (): void => {
      this.#isEnded = true
      this.#wake()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    // A reset counts as an end: these tests do not distinguish the two.
    socket.on('error', onEnd)
    socket.on('close', onEnd)
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

  /** Waits for so many bytes or for the end. Returns all bytes received. */
  async atLeast(bytes: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= bytes || this.#isEnded)
    return this.#received
  }

  /** Waits for the end. Returns all bytes received. */
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
