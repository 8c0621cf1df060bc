// Addresses of a few names, resolved now and then, which clients with broken DNS may ask a relay for. Made
// into the JSON that is served as it is. A name that fails to resolve is left out until it resolves again.

import { Resolver } from 'node:dns/promises'

/** As derper's. */
const REFRESH_MS = 600_000
const RESOLVE_TIMEOUT_MS = 60_000

export class BootstrapDns {
  readonly #names: readonly string[]
  readonly #publish: (json: string) => void
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(names: readonly string[], publish: (json: string) => void) {
    this.#names = names
    this.#publish = publish
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
    const entries = await Promise.all(
      this.#names.map(async (name) => [name, await addresses(resolver, name)] as const),
    )
    const found = entries.filter(([, list]) => list.length > 0)
    this.#publish(found.length === 0 ? '' : JSON.stringify(Object.fromEntries(found), undefined, '\t'))
  }
}

async function addresses(resolver: Resolver, name: string): Promise<string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  return answers
    .flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    .map((address) => ({ address, order: Math.random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ address }) => address)
}
