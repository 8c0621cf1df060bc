// The lane's socket. Bounded both ways: the kernel drops what the thread does not read in time, and this what the kernel does not
// take in time. Where the kernel can, many datagrams leave in one call.

import { createSocket, type Socket } from 'node:dgram'
import { isIPv4 } from 'node:net'
import type { DatagramDivider } from '#protocol/datagram-calls.ts'
import { DatagramOutbox } from '#protocol/datagram-outbox.ts'
import { lookupLiteral } from '#protocol/literal-lookup.ts'

/** A fifth of a second of what the thread forwards at most. */
const RECEIVE_BUFFER_BYTES = 4_194_304
const SEND_BUFFER_BYTES = 1_048_576
/** Datagrams that the kernel has not yet taken. Any more would be late, and are dropped. */
const UNSENT_MAX = 1_024

export interface UdpPortParts {
  readonly host: string
  readonly port: number
  readonly receive: (message: Buffer, host: string, port: number) => void
  /** There is no room for a datagram. */
  readonly onFull: () => void
  /** The system has refused a datagram, or to read one. */
  readonly onError: () => void
  /** For the bound socket. Undefined: each datagram has a call of its own. */
  readonly divider: (socket: Socket) => DatagramDivider | undefined
}

export class UdpPort {
  readonly #parts: UdpPortParts
  readonly #socket: Socket
  #outbox: DatagramOutbox | undefined

  constructor(parts: UdpPortParts) {
    this.#parts = parts
    this.#socket = createSocket({
      type: isIPv4(parts.host) ? 'udp4' : 'udp6',
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      sendBufferSize: SEND_BUFFER_BYTES,
      lookup: lookupLiteral,
    })
    this.#socket.on('message', (message, remote) => parts.receive(message, remote.address, remote.port))
  }

  async bind(): Promise<number> {
    const { host, port } = this.#parts
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject)
      this.#socket.bind({ address: host, port, exclusive: true }, () => {
        this.#socket.off('error', reject)
        resolve()
      })
    })
    this.#socket.on('error', () => this.#parts.onError())
    const { divider, onError, onFull } = this.#parts
    this.#outbox = new DatagramOutbox({
      socket: this.#socket,
      divider: divider(this.#socket),
      unsentMax: UNSENT_MAX,
      later: setImmediate,
      now: () => performance.now(),
      onFull,
      onError,
    })
    return this.#socket.address().port
  }

  /** The bytes must stay untouched until they have left. */
  send(message: Buffer, host: string, port: number): void {
    this.#outbox?.send(message, host, port)
  }

  close(): void {
    this.#outbox?.close()
    this.#socket.close()
  }
}
