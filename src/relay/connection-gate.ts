// Whether a new connection is accepted, before any TLS: not from an address that is refused, and none while the process has too
// little memory, but those of siblings, whose links carry the packets of those who are here. How many are accepted per second is
// another limit. Refuses; closing is the transport's.

import type { AddressGuard } from './address-guard.ts'
import { Counter, type Counters } from './counters.ts'

export interface ConnectionGateParts {
  readonly addresses: Pick<AddressGuard, 'isOfSibling' | 'mayConnect'>
  readonly counters: Counters
  /** The process has too little memory for more clients. */
  readonly isMemoryShort: () => boolean
}

export class ConnectionGate {
  readonly #parts: ConnectionGateParts

  constructor(parts: ConnectionGateParts) {
    this.#parts = parts
  }

  mayConnect(ip: () => Uint8Array): boolean {
    const { addresses, counters, isMemoryShort } = this.#parts
    if (!isMemoryShort() || addresses.isOfSibling(ip())) return addresses.mayConnect(ip)
    counters.add(Counter.connectionsOutOfMemory, 1)
    return false
  }
}
