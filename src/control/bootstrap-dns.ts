// The addresses of the bootstrap DNS names, which clients with broken DNS may ask a relay for: resolved every ten minutes
// and published as the JSON text that is served. A name that does not resolve is left out until it does. Runs on the
// control thread.

import { Resolver } from 'node:dns/promises'
import type { Service } from './service.ts'

/** As derper's. */
const REFRESH_MS = 600_000
const RESOLVE_TIMEOUT_MS = 60_000

export class BootstrapDns implements Service {
  #names: readonly string[]
  readonly #publish: (json: string) => void
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(names: readonly string[], publish: (json: string) => void) {
    this.#names = names
    this.#publish = publish
  }

  /** Other names from now on. */
  setNames(names: readonly string[]): void {
    this.stop()
    this.#names = names
    if (names.length === 0) this.#publish('')
    this.start()
  }

  start(): void {
    if (this.#names.length === 0) return
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS)
    this.#timer.unref()
    void this.#refresh()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #refresh(): Promise<void> {
    const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 1 })
    const names = this.#names
    const entries = await Promise.all(
      names.map(async (name) => [name, await resolve(resolver, name)] as const),
    )
    // The names have been replaced meanwhile.
    if (names !== this.#names) return
    const resolved = entries.filter(([, addresses]) => addresses.length > 0)
    this.#publish(resolved.length === 0 ? '' : JSON.stringify(Object.fromEntries(resolved), undefined, '\t'))
  }
}

/** Both families' addresses in random order, so that clients spread over them; none if the name does not resolve. */
async function resolve(resolver: Resolver, name: string): Promise<string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  return answers
    .flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    .map((address) => ({ address, order: Math.random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ address }) => address)
}
