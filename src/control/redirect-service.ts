// The plain HTTP port as a service: captive-portal checks, and redirects to the TLS port. Runs on the control thread.

import type { Endpoint } from '#config/endpoint.ts'
import { RedirectServer } from '#transport/redirect-server.ts'
import type { DerpListener } from './derp-listener.ts'
import { withListenError } from './listen-error.ts'
import type { Service } from './service.ts'

export class RedirectService implements Service {
  readonly #derp: DerpListener
  #endpoint: Endpoint
  #server: RedirectServer | undefined = undefined

  /** @param derp whose port is the target; starts earlier */
  constructor(endpoint: Endpoint, derp: DerpListener) {
    this.#endpoint = endpoint
    this.#derp = derp
  }

  /** Where the server listens; before the start, where it is to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  async start(): Promise<void> {
    const server = new RedirectServer(this.#derp.endpoint.port)
    this.#server = server
    this.#endpoint = await withListenError(
      'HTTP',
      '-http-port',
      this.#endpoint,
      async (at) => await server.listen(at),
    )
  }

  async stop(): Promise<void> {
    await this.#server?.close()
  }
}
