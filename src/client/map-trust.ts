// How a client of a DERP map verifies its relays: by the map's CertName where a node has one, else by the authorities.
// Equal rules are one object, because a TLS context is made for each.

import type { ReachableNode } from './region-dial.ts'
import type { MapNode } from './relay-map.ts'
import type { TargetOptions } from './target.ts'
import type { ServerTrust } from './tls-verification.ts'

export interface MapTrustOptions {
  /** Trusted authorities in PEM, instead of Node's own. */
  readonly authorities?: readonly string[]
  /** Verifies nothing. For tests only. */
  readonly isInsecure?: boolean
}

export class MapTrust {
  readonly #options: MapTrustOptions
  readonly #known = new Map<string, ServerTrust>()

  constructor(options: MapTrustOptions = {}) {
    this.#options = options
  }

  /** Where and how a client connects to a node. @throws RangeError when used, for a pin that no certificate can match */
  targetOf({ node, address, port }: ReachableNode): TargetOptions & { readonly tls: ServerTrust } {
    return { host: node.hostname, port, dialAddress: address, tls: this.#trustOf(node) }
  }

  #trustOf(node: MapNode): ServerTrust {
    const isInsecure = this.#options.isInsecure === true || node.isInsecureForTests === true
    // Clients verify a CertName even for a node that is marked insecure; the user's own word overrides it.
    const certName = this.#options.isInsecure === true ? undefined : node.certName
    const key = `${isInsecure} ${certName ?? ''}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const made = {
      isInsecure,
      ...(certName === undefined ? {} : { certName }),
      ...this.#authoritiesFor(certName, isInsecure),
    }
    this.#known.set(key, made)
    return made
  }

  /** Where no chain is verified, none are needed; a context without them is made in no time. */
  #authoritiesFor(certName: string | undefined, isInsecure: boolean): Pick<ServerTrust, 'ca'> {
    const isPinned = certName?.startsWith('sha256-raw:') ?? false
    if (isPinned || (isInsecure && certName === undefined)) return { ca: [] }
    return this.#options.authorities === undefined ? {} : { ca: this.#options.authorities }
  }
}
