// The DERP port as a service. The relay threads own the sockets; this is the moment at which they begin to listen, apart
// from the threads' own start because the key directory must exist before the first client. The threads close their
// sockets by themselves: when a drain begins, or when they stop. Runs on the control thread.

import type { Endpoint } from '#config/endpoint.ts'
import { withListenError } from './listen-error.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

export class DerpListener implements Service {
  readonly #threads: RelayThreads
  #endpoint: Endpoint

  constructor(endpoint: Endpoint, threads: RelayThreads) {
    this.#endpoint = endpoint
    this.#threads = threads
  }

  /** Where the threads listen; before the start, where they are to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  async start(): Promise<void> {
    this.#endpoint = await withListenError(
      'DERP',
      '-a',
      this.#endpoint,
      async (at) => await this.#threads.listen(at),
    )
  }

  /** Nothing to do: each thread closes its socket as it stops. */
  stop(): void {}
}
