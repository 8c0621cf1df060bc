// A UDP port of this host that the VPN talks to. Takes packets from this host only, and only from where the VPN is known to be:
// from an address given beforehand, or from whoever speaks last. Where the kernel can, many packets pass in one call: at full load
// calls are most of what a packet costs.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { DatagramBatch } from '#protocol/datagram-batch.ts'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import { joinedMessages } from './joined-messages.ts'
import type { LocalAddress } from './settings.ts'

/** Bursts of a fast VPN; the kernel may give less. */
const BUFFER_BYTES = 4_194_304

/** What Node has no call for. */
export interface DatagramCalls {
  /** What is longer leaves in datagrams of so many bytes. Returns whether the kernel does it. */
  setDatagramBytes(bytes: number): boolean
  /** Datagrams that were sent so are read as one. Returns whether the kernel does it. */
  joinDatagrams(): boolean
  pause(): void
  resume(): void
}

export interface LocalPortOptions {
  /** Undefined, or returns undefined: each packet has a call of its own. */
  readonly calls?: ((socket: Socket) => DatagramCalls | undefined) | undefined
  /** The VPN is WireGuard, whose packets can be told apart when they were read as one. */
  readonly isWireguard?: boolean
}

/** Gets a packet, which it may keep, and the port that it came from. */
export type OnPacket = (packet: Buffer, port: number) => void

export class LocalPort {
  readonly #socket: Socket
  readonly #host: string
  readonly #calls: DatagramCalls | undefined
  readonly #batch: DatagramBatch | undefined
  #isClosed = false

  private constructor(socket: Socket, host: string, calls: DatagramCalls | undefined) {
    this.#socket = socket
    this.#host = host
    this.#calls = calls
    this.#batch =
      calls &&
      new DatagramBatch({
        send: (packets, _host, port) => this.#send(packets, port),
        // What the kernel has not taken yet would be divided so, too.
        setDatagramBytes: (bytes) => socket.getSendQueueCount() === 0 && calls.setDatagramBytes(bytes),
        lost: () => undefined,
        later: setImmediate,
        now: () => performance.now(),
      })
  }

  static async open(
    { host, port }: LocalAddress,
    onPacket: OnPacket,
    { calls, isWireguard = false }: LocalPortOptions = {},
  ): Promise<LocalPort> {
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', lookup: lookupLiteral })
    // Without a name to look up, it listens at once.
    const isListening = once(socket, 'listening')
    socket.bind(port, host)
    await isListening
    socket.setRecvBufferSize(BUFFER_BYTES)
    socket.setSendBufferSize(BUFFER_BYTES)
    // The VPN's port may be closed for a while: the kernel reports that for every packet.
    socket.on('error', () => undefined)
    const local = new LocalPort(socket, host, calls?.(socket))
    const isJoined = isWireguard && local.#calls?.joinDatagrams() === true
    socket.on('message', (packet, from) => {
      if (from.address !== host) return
      if (!isJoined) return onPacket(packet, from.port)
      const packets = joinedMessages(packet)
      for (const one of packets) onPacket(one, from.port)
      if (packets.length > 1) local.#pauseForTurn()
    })
    return local
  }

  get port(): number {
    return this.#socket.address().port
  }

  send(packet: Uint8Array, port: number): void {
    if (this.#batch === undefined) this.#send([packet], port)
    else this.#batch.add(packet, this.#host, port)
  }

  close(): void {
    this.#batch?.flush()
    this.#isClosed = true
    this.#socket.close()
  }

  #send(packets: readonly Uint8Array[], port: number): void {
    if (this.#isClosed) return
    // Without a callback an error would be an event.
    this.#socket.send(packets, port, this.#host, (error) => {
      if (error !== null && packets.length > 1) this.#batch?.failed(packets, this.#host, port)
    })
  }

  /** Up to 64 KiB were read, as much as the queue to the relay holds: they leave first. What comes meanwhile waits in the kernel. */
  #pauseForTurn(): void {
    this.#calls?.pause()
    setImmediate(() => {
      if (!this.#isClosed) this.#calls?.resume()
    })
  }
}
