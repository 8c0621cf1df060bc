// A UDP port of the bridge by which bridges reach each other directly, for all peers: one socket, so that all of them see the same
// port of this host's NAT. Reads nothing of what comes but STUN's answers.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { DatagramCallsOf } from '#protocol/datagram-calls.ts'
import { DatagramOutbox } from '#protocol/datagram-outbox.ts'
import { unmapped } from '#protocol/ip-address.ts'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import { AddressFinder } from './address-finder.ts'
import type { LocalAddress } from './settings.ts'

export type OnDatagram = (packet: Buffer, from: LocalAddress) => void

/** A port from which holes in NATs are made. */
export interface UdpPort {
  readonly port: number
  /** It is WireGuard's own: packets of the VPN pass it by themselves, and never come here. */
  readonly isWireguards: boolean
  send(packet: Uint8Array, to: LocalAddress): void
  /** This port as STUN servers see it. */
  publicAddresses(servers: readonly LocalAddress[]): Promise<readonly string[]>
  close(): void
}

const BUFFER_BYTES = 4_194_304
/** Packets that wait in the process because the kernel does not take them: nobody wants them any more. */
const UNSENT_MAX = 256

export class DirectPort implements UdpPort {
  readonly isWireguards = false
  readonly #socket: Socket
  readonly #isDual: boolean
  readonly #outbox: DatagramOutbox
  readonly #finder = new AddressFinder((packet, to) => this.send(packet, to))

  private constructor(socket: Socket, isDual: boolean, onPacket: OnDatagram, calls?: DatagramCallsOf) {
    this.#socket = socket
    this.#isDual = isDual
    this.#outbox = new DatagramOutbox({
      socket,
      divider: calls?.(socket),
      unsentMax: UNSENT_MAX,
      later: setImmediate,
      now: () => performance.now(),
    })
    socket.setRecvBufferSize(BUFFER_BYTES)
    socket.setSendBufferSize(BUFFER_BYTES)
    // Unreachable hosts are reported here, for packets of before.
    socket.on('error', () => undefined)
    socket.on('message', (packet, { address, port }) => {
      if (!this.#finder.take(packet)) onPacket(packet, { host: unmapped(address), port })
    })
  }

  /** @throws Error if this host has no UDP */
  static async open(onPacket: OnDatagram, calls?: DatagramCallsOf): Promise<DirectPort> {
    try {
      return new DirectPort(await bound('udp6'), true, onPacket, calls)
    } catch {
      return new DirectPort(await bound('udp4'), false, onPacket, calls)
    }
  }

  get port(): number {
    return this.#socket.address().port
  }

  send(packet: Uint8Array, { host, port }: LocalAddress): void {
    const isV6 = isIPv6(host)
    if (isV6 && !this.#isDual) return
    this.#outbox.send(packet, this.#isDual && !isV6 ? `::ffff:${host}` : host, port)
  }

  async publicAddresses(servers: readonly LocalAddress[]): Promise<readonly string[]> {
    return await this.#finder.find(servers)
  }

  close(): void {
    this.#outbox.close()
    this.#socket.close()
  }
}

async function bound(type: 'udp4' | 'udp6'): Promise<Socket> {
  const socket = createSocket({ type, lookup: lookupLiteral })
  const isListening = once(socket, 'listening')
  socket.bind(0)
  await isListening
  return socket
}
