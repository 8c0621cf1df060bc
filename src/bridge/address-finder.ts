// Asks STUN servers over somebody's port which address that port has outside. The port sends, and hands over what comes.

import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHex } from '#protocol/bytes.ts'
import { hostPortText } from '#protocol/host-port.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { bindingRequest, isStun, readBindingAnswer, TRANSACTION_ID_BYTES } from '#protocol/stun.ts'
import type { LocalAddress } from './settings.ts'

const STUN_MS_MAX = 1_000
const STUN_EVERY_MS = 300
const STUN_SERVERS_MAX = 4

export class AddressFinder {
  readonly #send: (packet: Uint8Array, to: LocalAddress) => void
  /** By transaction. */
  readonly #asked = new Map<string, (address: string) => void>()

  constructor(send: (packet: Uint8Array, to: LocalAddress) => void) {
    this.#send = send
  }

  /** The port as the first servers to answer see it, once for each family. */
  async find(servers: readonly LocalAddress[]): Promise<readonly string[]> {
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
      this.#send(bindingRequest(id), server)
    }
    const again = setInterval(() => some.forEach(ask), STUN_EVERY_MS)
    some.forEach(ask)
    if (some.length > 0) await Promise.race([all.promise, sleep(STUN_MS_MAX)])
    clearInterval(again)
    for (const id of ids) this.#asked.delete(id)
    return [...found.values()]
  }

  /** Returns whether the datagram was an answer, or could have been one. */
  take(packet: Uint8Array): boolean {
    if (this.#asked.size === 0 || !isStun(packet)) return false
    const answer = readBindingAnswer(packet)
    if (answer === undefined) return true
    this.#asked.get(toHex(answer.transactionId))?.(hostPortText(ipToText(answer.ip), answer.port))
    return true
  }
}
