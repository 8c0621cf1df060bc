// The plain HTTP port as a service: captive-portal checks, challenges of authorities, and redirects to the TLS port. Runs on
// the control thread.

import type { HttpChallenges } from '#certificates/http-challenges.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { Native } from '#transport/native.ts'
import type { InheritedSocket } from '#transport/inherited-sockets.ts'
import { RedirectServer } from '#transport/redirect-server.ts'
import type { DerpListener } from './derp-listener.ts'
import { withListenError } from './listen-error.ts'
import type { Service } from './service.ts'

export interface RedirectServiceParts {
  /** Its port is the target; it starts earlier. */
  readonly derp: DerpListener
  /** A socket that listens already; undefined: make one. */
  readonly inherited: InheritedSocket | undefined
  readonly native: Native | undefined
  /** Undefined if the relay requests no certificates. */
  readonly challenges: Pick<HttpChallenges, 'textOf'> | undefined
}

export class RedirectService implements Service {
  readonly #parts: RedirectServiceParts
  #endpoint: Endpoint
  #server: RedirectServer | undefined = undefined

  constructor(endpoint: Endpoint, parts: RedirectServiceParts) {
    this.#endpoint = endpoint
    this.#parts = parts
  }

  /** Where the server listens; before the start, where it is to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  async start(): Promise<void> {
    const { challenges, derp, native } = this.#parts
    const textOf = challenges && (async (token: string) => await challenges.textOf(token))
    const server = new RedirectServer(derp.endpoint.port, native, textOf)
    const inherited = this.#parts.inherited?.descriptor
    this.#server = server
    this.#endpoint = await withListenError(
      'HTTP',
      '-http-port',
      this.#endpoint,
      async (at) => await server.listen({ ...at, inherited }),
    )
  }

  async stop(): Promise<void> {
    await this.#server?.close()
  }
}
