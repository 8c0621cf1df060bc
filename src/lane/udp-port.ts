// The lane's socket. Bounded both ways: the kernel drops what the thread does not read in time, and this what the kernel does not
// take in time. Where the kernel can, many datagrams leave in one call.

import { createSocket, type Socket } from 'node:dgram'
import { isIPv4 } from 'node:net'
import { DatagramBatch } from '#protocol/datagram-batch.ts'
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

export interface DatagramDivider {
  /** What is longer leaves in datagrams of so many bytes; 0: as it is. Returns whether the kernel does it. */
  setDatagramBytes(bytes: number): boolean
}

export class UdpPort {
  readonly #parts: UdpPortParts
  readonly #socket: Socket
  #batch: DatagramBatch | undefined
  #unsent = 0
  #isClosed = false

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
    this.#batch = this.#newBatch()
    return this.#socket.address().port
  }

  /** The bytes must stay untouched until they have left. */
  send(message: Buffer, host: string, port: number): void {
    if (this.#unsent >= UNSENT_MAX) return this.#parts.onFull()
    if (this.#batch === undefined) this.#send([message], host, port)
    else this.#batch.add(message, host, port)
  }

  close(): void {
    this.#batch?.flush()
    this.#isClosed = true
    this.#socket.close()
  }

  #newBatch(): DatagramBatch | undefined {
    const divider = this.#parts.divider(this.#socket)
    if (divider === undefined) return undefined
    return new DatagramBatch({
      send: (packets, host, port) => this.#send(packets, host, port),
      // What the kernel has not taken yet would be divided so, too.
      setDatagramBytes: (bytes) => this.#socket.getSendQueueCount() === 0 && divider.setDatagramBytes(bytes),
      lost: (packets) => {
        for (let count = 0; count < packets; count++) this.#parts.onFull()
      },
      later: setImmediate,
      now: () => performance.now(),
    })
  }

  #send(packets: readonly Uint8Array[], host: string, port: number): void {
    if (this.#isClosed) return
    this.#unsent += packets.length
    this.#socket.send(packets, port, host, (error) => {
      this.#unsent -= packets.length
      if (error === null || this.#isClosed) return
      if (packets.length > 1) this.#batch?.failed(packets, host, port)
      else this.#parts.onError()
    })
  }
}
