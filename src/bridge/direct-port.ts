// The UDP port by which bridges reach each other directly, for all peers: one socket, so that all of them see the same port of
// this host's NAT. Asks the relay by STUN which one that is. Reads nothing of what comes but STUN's answers.

import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHex } from '#protocol/bytes.ts'
import { hostPortText } from '#protocol/host-port.ts'
import { ipToText, unmapped } from '#protocol/ip-address.ts'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import { bindingRequest, isStun, readBindingAnswer, TRANSACTION_ID_BYTES } from '#protocol/stun.ts'
import type { LocalAddress } from './settings.ts'

const BUFFER_BYTES = 4_194_304
/** What waits in the process because the kernel does not take it: nobody wants it any more. */
const UNSENT_BYTES_MAX = 262_144
const STUN_MS_MAX = 1_000
const STUN_EVERY_MS = 300
const STUN_SERVERS_MAX = 4

export class DirectPort {
  readonly #socket: Socket
  readonly #isDual: boolean
  /** By transaction. */
  readonly #asked = new Map<string, (address: string) => void>()

  private constructor(
    socket: Socket,
    isDual: boolean,
    onPacket: (packet: Buffer, from: LocalAddress) => void,
  ) {
    this.#socket = socket
    this.#isDual = isDual
    socket.setRecvBufferSize(BUFFER_BYTES)
    socket.setSendBufferSize(BUFFER_BYTES)
    // Unreachable hosts are reported here, for packets of before.
    socket.on('error', () => undefined)
    socket.on('message', (packet, { address, port }) => {
      if (this.#asked.size > 0 && isStun(packet)) this.#hearStun(packet)
      else onPacket(packet, { host: unmapped(address), port })
    })
  }

  /** @throws Error if this host has no UDP */
  static async open(onPacket: (packet: Buffer, from: LocalAddress) => void): Promise<DirectPort> {
    try {
      return new DirectPort(await bound('udp6'), true, onPacket)
    } catch {
      return new DirectPort(await bound('udp4'), false, onPacket)
    }
  }

  get port(): number {
    return this.#socket.address().port
  }

  send(packet: Uint8Array, { host, port }: LocalAddress): void {
    if (this.#socket.getSendQueueSize() > UNSENT_BYTES_MAX) return
    const isV6 = isIPv6(host)
    if (isV6 && !this.#isDual) return
    this.#socket.send(packet, port, this.#isDual && !isV6 ? `::ffff:${host}` : host, ignoreError)
  }

  /** This port as the first servers to answer see it, once for each family. */
  async publicAddresses(servers: readonly LocalAddress[]): Promise<readonly string[]> {
    const found = new Map<boolean, string>()
    const some = servers.slice(0, STUN_SERVERS_MAX)
    const families = new Set(some.map(({ host }) => isIPv6(host))).size
    const all = Promise.withResolvers<void>()
    const ids: string[] = []
    const ask = (server: LocalAddress): void => {
      const id = randomBytes(TRANSACTION_ID_BYTES)
      ids.push(toHex(id))
      this.#asked.set(toHex(id), (address) => {
        found.set(isIPv6(server.host), address)
        if (found.size === families) all.resolve()
      })
      this.send(bindingRequest(id), server)
    }
    const again = setInterval(() => some.forEach(ask), STUN_EVERY_MS)
    some.forEach(ask)
    if (some.length > 0) await Promise.race([all.promise, sleep(STUN_MS_MAX)])
    clearInterval(again)
    for (const id of ids) this.#asked.delete(id)
    return [...found.values()]
  }

  close(): void {
    this.#socket.close()
  }

  #hearStun(packet: Buffer): void {
    const answer = readBindingAnswer(packet)
    if (answer === undefined) return
    this.#asked.get(toHex(answer.transactionId))?.(hostPortText(ipToText(answer.ip), answer.port))
  }
}

async function bound(type: 'udp4' | 'udp6'): Promise<Socket> {
  const socket = createSocket({ type, lookup: lookupLiteral })
  const isListening = once(socket, 'listening')
  socket.bind(0)
  await isListening
  return socket
}

/** Without a callback an error would be an event. */
function ignoreError(): void {}
