// The plain HTTP port beside a TLS relay: captive-portal checks, challenges of an authority, and redirects to the TLS port. An HTTP server without upgrade
// handler, over Node's sockets, with the same limits as the TLS port. Runs on the control thread.

import { setTimeout as sleep } from 'node:timers/promises'
import { Counters } from '#relay/counters.ts'
import type { Acceptor, AcceptorHost } from './acceptor.ts'
import { NO_FLUSH_CONTROL } from './read-state.ts'
import { HttpServer } from './http-server.ts'
import type { ListenAddress } from './listening-port.ts'
import type { Native } from './native.ts'
import { redirectPageOf, type ChallengeText } from './http-pages.ts'
import { ReadScheduler } from './read-scheduler.ts'
import { SocketAcceptor } from './socket-acceptor.ts'

/** For the next request; few clients send a second one. */
const IDLE_TIMEOUT_MS = 30_000
const SWEEP_MS = 1_000
/** At the end. A client sends its request with its first packet after connecting; one from far away needs a round trip. */
const LAST_ANSWERS_MS_MAX = 500
const LAST_ANSWERS_LOOK_MS = 10

const now = (): number => performance.now()

export class RedirectServer {
  readonly #server: HttpServer
  readonly #sweeper: NodeJS.Timeout

  /**
   * @param tlsPort where the relay serves TLS
   * @param native for an inherited socket; undefined where native calls do not work
   * @param challengeText undefined if the relay requests no certificates
   */
  constructor(tlsPort: number, native: Native | undefined, challengeText?: ChallengeText) {
    // Not the relay's counters: those count clients of DERP.
    const counters = new Counters()
    this.#server = new HttpServer({
      counters,
      accepts: undefined,
      mayConnect: () => true,
      upgrades: undefined,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      now,
      acceptor: async (host) => await Promise.resolve(makeAcceptor(host, counters, native)),
      pageOf: (head) => redirectPageOf(head, tlsPort, challengeText),
    })
    this.#sweeper = setInterval(() => this.#server.sweep(), SWEEP_MS)
  }

  /** Listens and returns the real port. */
  async listen(endpoint: ListenAddress): Promise<number> {
    return (await this.#server.listen(endpoint, true)).port
  }

  /** Refuses connections from now on, answers those that have been accepted, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#server.stopListening()
    const untilMs = now() + LAST_ANSWERS_MS_MAX
    while (this.#server.isBusy && now() < untilMs) await sleep(LAST_ANSWERS_LOOK_MS)
    await this.#server.close()
  }
}

function makeAcceptor(host: AcceptorHost, counters: Counters, native: Native | undefined): Acceptor {
  return new SocketAcceptor({
    host,
    counters,
    tls: undefined,
    keepAliveMs: 0,
    userTimeoutMs: 0,
    native,
    threadCount: 1,
    now,
    scheduler: new ReadScheduler(now, () => 0, NO_FLUSH_CONTROL),
  })
}
