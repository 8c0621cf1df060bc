// The plain HTTP port beside a TLS relay: captive-portal checks, and redirects to the TLS port. A HTTP server without DERP,
// over sockets of Node's, with the same limits.

import { Counters } from '#relay/counters.ts'
import { NO_WRITE_TURNS } from './read-state.ts'
import { HttpServer } from './http-server.ts'
import { redirectPageOf } from './http-pages.ts'
import { ReadScheduler } from './read-scheduler.ts'
import { SocketAcceptor } from './socket-acceptor.ts'

/** For the next request; few send a second one. */
const IDLE_TIMEOUT_MS = 30_000
const SWEEP_MS = 1_000

export class RedirectServer {
  readonly #server: HttpServer
  readonly #sweeper: NodeJS.Timeout

  /** @param tlsPort where the relay serves TLS */
  constructor(tlsPort: number) {
    const now = (): number => performance.now()
    // Not the relay's: its counters are about clients of DERP.
    const counters = new Counters()
    this.#server = new HttpServer({
      counters,
      isDerpEnabled: false,
      accepts: undefined,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      now,
      acceptor: (host) =>
        Promise.resolve(
          new SocketAcceptor({
            counters,
            identity: undefined,
            keepAliveMs: 0,
            threadCount: 1,
            now,
            scheduler: new ReadScheduler(now, () => 0, NO_WRITE_TURNS),
            mayAccept: () => host.mayAccept(),
            accepted: (connection) => host.accepted(connection),
          }),
        ),
      accept: () => {
        throw new Error('there are no sessions on the plain port')
      },
      pageOf: (head) => redirectPageOf(head, tlsPort),
    })
    this.#sweeper = setInterval(() => this.#server.sweep(), SWEEP_MS)
  }

  /** Listens and returns the real port. */
  async listen(endpoint: { host: string; port: number }): Promise<number> {
    return (await this.#server.listen(endpoint, false)).port
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#server.close()
  }
}
