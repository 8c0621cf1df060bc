// WireGuard's own endpoints as addresses: names are looked up here, because `wg` would wait for a minute, and because the answer
// of before is better than none where the name server is behind the tunnel.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOKUP_MS_MAX = 2_000

export class NativeAddress {
  readonly #known = new Map<string, string>()

  /** `address:port` of an endpoint; undefined without one, and while its name was never found. */
  async find(endpoint: string | undefined): Promise<string | undefined> {
    if (endpoint === undefined) return undefined
    const at = endpoint.lastIndexOf(':')
    const host = endpoint.slice(0, at).replace(/^\[(.*)\]$/, '$1')
    if (isIP(host) !== 0) return endpoint
    const found = await Promise.race([lookup(host).catch(() => undefined), sleep(LOOKUP_MS_MAX, undefined)])
    if (found === undefined) return this.#known.get(endpoint)
    const address = found.family === 6 ? `[${found.address}]` : found.address
    const text = `${address}:${endpoint.slice(at + 1)}`
    this.#known.set(endpoint, text)
    return text
  }
}
