// Where the relays are: looks their names up, remembers the addresses for the time when the name server is behind a dead tunnel,
// keeps them out of the tunnel, and chooses.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyOptions } from '#client/proxy.ts'
import { TargetChoice } from '#client/target-choice.ts'
import type { TargetOptions } from '#client/target.ts'
import type { ServerTrust } from '#client/tls-verification.ts'

const LOOKUP_MS_MAX = 3_000

export interface RelayOptions {
  /** Of relays of one fleet. */
  readonly urls: readonly string[]
  readonly tls: ServerTrust
  readonly proxy: ProxyOptions | undefined
  /** Keeps connections to an address out of the tunnel; returns why it cannot. */
  readonly protect: (address: string) => Promise<string | undefined>
}

export class RelayTargets {
  readonly #options: RelayOptions
  readonly #addresses = new Map<string, readonly string[]>()
  readonly #targets = new Map<string, TargetOptions>()
  /** Of relays that are connected to without a proxy, at the last attempt. */
  addresses: readonly string[] = []
  #choice: TargetChoice | undefined
  #chosenFrom = ''

  constructor(options: RelayOptions) {
    this.#options = options
  }

  /** @throws Error if no relay can be reached, or none without the tunnel */
  async next(): Promise<TargetOptions> {
    const { urls, proxy } = this.#options
    const reasons: string[] = []
    const targets: TargetOptions[] = []
    const reached: string[] = []
    if (proxy !== undefined) await this.#usable(URL.parse(proxy.url)?.hostname ?? '', reasons)
    for (const url of urls) {
      if (proxy !== undefined) targets.push(this.#target(url, undefined))
      else {
        const host = URL.parse(url)?.hostname ?? ''
        const addresses = await this.#usable(host, reasons)
        reached.push(...addresses)
        for (const address of addresses) targets.push(this.#target(url, address))
      }
    }
    this.addresses = reached
    if (targets.length === 0 || (proxy !== undefined && reasons.length > 0)) {
      throw new Error(reasons.join(', '))
    }
    // What is known of failures stays while the addresses do.
    const names = targets.map(({ url, dialAddress }) => `${url} ${dialAddress}`).join()
    if (this.#choice === undefined || names !== this.#chosenFrom) {
      this.#choice = new TargetChoice(targets)
      this.#chosenFrom = names
    }
    return await this.#choice.next()
  }

  failed(): void {
    this.#choice?.failed()
  }

  worked(): void {
    this.#choice?.worked()
  }

  /** The addresses of a host that do not lead into the tunnel. */
  async #usable(hostname: string, reasons: string[]): Promise<readonly string[]> {
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    const usable: string[] = []
    const addresses = await this.#lookUp(host)
    if (addresses.length === 0) reasons.push(`${host}: its address is not known`)
    for (const address of addresses) {
      const problem = await this.#options.protect(address)
      if (problem === undefined) usable.push(address)
      else reasons.push(problem)
    }
    return usable
  }

  async #lookUp(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host]
    const found = await Promise.race([
      lookup(host, { all: true }).catch(() => undefined),
      sleep(LOOKUP_MS_MAX, undefined),
    ])
    if (found !== undefined && found.length > 0) {
      this.#addresses.set(
        host,
        found.map(({ address }) => address),
      )
    }
    return this.#addresses.get(host) ?? []
  }

  /** The same object each time, by which the choice knows it. */
  #target(url: string, dialAddress: string | undefined): TargetOptions {
    const key = `${url} ${dialAddress}`
    const { tls, proxy } = this.#options
    const known = this.#targets.get(key)
    if (known !== undefined) return known
    const target = {
      url,
      ...(/^(http|ws):/i.test(url) ? {} : { tls }),
      ...(dialAddress === undefined ? {} : { dialAddress }),
      ...(proxy === undefined ? {} : { proxy }),
    }
    this.#targets.set(key, target)
    return target
  }
}
