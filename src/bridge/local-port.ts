// A UDP port of this host that the VPN talks to. Takes packets from this host only, and only from where the VPN is known to be:
// from an address given beforehand, or from whoever speaks last. Where the kernel can, many packets pass in one call: at full load
// calls are most of what a packet costs.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { DatagramCalls, DatagramCallsOf } from '#protocol/datagram-calls.ts'
import { DatagramOutbox } from '#protocol/datagram-outbox.ts'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import { joinedMessages } from './joined-messages.ts'
import type { LocalAddress } from './settings.ts'

/** Bursts of a fast VPN; the kernel may give less. */
const BUFFER_BYTES = 4_194_304
/** Packets that the kernel does not take: nobody wants them any more. */
const UNSENT_MAX = 1_024

interface LocalPortOptions {
  /** Undefined: each packet has a call of its own. */
  readonly calls?: DatagramCallsOf | undefined
  /** The VPN is WireGuard, whose packets can be told apart when they were read as one. */
  readonly isWireguard?: boolean
}

/** Gets a packet, which it may keep, and the port that it came from. */
export type OnPacket = (packet: Buffer, port: number) => void

export class LocalPort {
  readonly #socket: Socket
  readonly #host: string
  readonly #calls: DatagramCalls | undefined
  readonly #outbox: DatagramOutbox
  #isClosed = false

  private constructor(socket: Socket, host: string, calls: DatagramCalls | undefined) {
    this.#socket = socket
    this.#host = host
    this.#calls = calls
    this.#outbox = new DatagramOutbox({
      socket,
      divider: calls,
      unsentMax: UNSENT_MAX,
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
    this.#outbox.send(packet, this.#host, port)
  }

  close(): void {
    this.#isClosed = true
    this.#outbox.close()
    this.#socket.close()
  }

  /** Up to 64 KiB were read, as much as the queue to the relay holds: they leave first. What comes meanwhile waits in the kernel. */
  #pauseForTurn(): void {
    this.#calls?.pause()
    setImmediate(() => {
      if (!this.#isClosed) this.#calls?.resume()
    })
  }
}
