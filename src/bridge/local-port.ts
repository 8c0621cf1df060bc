// A UDP port of this host that the VPN talks to. Takes packets from this host only, and only from where the VPN is known to be:
// from an address given beforehand, or from whoever speaks last.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import type { LocalAddress } from './settings.ts'

/** Bursts of a fast VPN; the kernel may give less. */
const BUFFER_BYTES = 4_194_304

export class LocalPort {
  readonly #socket: Socket
  readonly #host: string

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
  }

  /** @param onPacket gets a packet, which it may keep, and the port that it came from */
  static async open(
    { host, port }: LocalAddress,
    onPacket: (packet: Buffer, port: number) => void,
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
    socket.on('message', (packet, from) => {
      if (from.address === host) onPacket(packet, from.port)
    })
    return new LocalPort(socket, host)
  }

  get port(): number {
    return this.#socket.address().port
  }

  send(packet: Uint8Array, port: number): void {
    this.#socket.send(packet, port, this.#host, ignoreError)
  }

  close(): void {
    this.#socket.close()
  }
}

/** Without a callback an error would be an event. */
function ignoreError(): void {}
