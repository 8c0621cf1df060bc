// A WireGuard peer of a lane with a real socket and no tunnel: it registers, and sends and receives what a test wants.

import { createSocket, type Socket } from 'node:dgram'
import { type LaneDoor, MemoryPeer } from './memory-lane.ts'
import { waitUntil } from './process.ts'

export interface UdpPeerOptions {
  /** The lane's. */
  readonly key: { readonly publicKey: Uint8Array }
  readonly port: number
  /** Its own address. */
  readonly address: string
  /** The lane's address, if it is not 127.0.0.1. */
  readonly to?: string
}

export class UdpPeer implements LaneDoor {
  readonly own: LaneDoor['own']
  readonly peer: MemoryPeer
  readonly received: Buffer[] = []
  readonly #port: number
  readonly #to: string
  readonly #socket: Socket = createSocket('udp4')

  constructor({ key, port, address, to = '127.0.0.1' }: UdpPeerOptions) {
    this.#to = to
    this.own = key
    this.#port = port
    this.peer = new MemoryPeer(this, address, 0)
    this.#socket.bind(0, address)
    this.#socket.on('message', (message) => void this.received.push(message))
  }

  get nowMs(): number {
    return performance.now()
  }

  get wallMs(): number {
    return Date.now()
  }

  receive(message: Buffer): void {
    this.#socket.send(message, this.#port, this.#to)
  }

  take(): never[] {
    return []
  }

  /** The whole handshake. Returns how many milliseconds it took. */
  async register(): Promise<number> {
    const beganMs = performance.now()
    this.peer.send(this.peer.initiation())
    await waitUntil('the lane answers', () => this.received.some((one) => this.peer.read(one)), 10_000)
    this.peer.send(this.peer.keepalive())
    return performance.now() - beganMs
  }

  [Symbol.dispose](): void {
    this.#socket.close()
  }
}
