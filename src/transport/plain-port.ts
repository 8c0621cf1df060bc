// The plain HTTP port beside a TLS relay: captive-portal checks, and redirects to the TLS port. A front door without DERP,
// over sockets of Node's, with the same limits.

import { Counters } from '#relay/counters.ts'
import { NO_TURNS } from './flow.ts'
import { FrontDoor } from './front-door.ts'
import { plainPageOf } from './http-pages.ts'
import { ReadPace } from './read-pace.ts'
import { SocketEntrance } from './socket-entrance.ts'

/** For the next request; few send a second one. */
const IDLE_TIMEOUT_MS = 30_000
const SWEEP_MS = 1_000

export class PlainPort {
  readonly #door: FrontDoor
  readonly #sweeper: NodeJS.Timeout

  /** @param tlsPort where the relay serves TLS */
  constructor(tlsPort: number) {
    const now = (): number => performance.now()
    // Not the relay's: its counters are about clients of DERP.
    const counters = new Counters()
    this.#door = new FrontDoor({
      counters,
      isDerpEnabled: false,
      accepts: undefined,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      now,
      entrance: (door) =>
        Promise.resolve(
          new SocketEntrance({
            counters,
            identity: undefined,
            keepAliveMs: 0,
            threadCount: 1,
            now,
            pace: new ReadPace(now, () => 0, NO_TURNS),
            mayEnter: () => door.mayEnter(),
            entered: (caller) => door.entered(caller),
          }),
        ),
      accept: () => {
        throw new Error('there are no sessions on the plain port')
      },
      pageOf: (head) => plainPageOf(head, tlsPort),
    })
    this.#sweeper = setInterval(() => this.#door.sweep(), SWEEP_MS)
  }

  /** Listens and returns the real port. */
  async listen(endpoint: { host: string; port: number }): Promise<number> {
    return (await this.#door.listen(endpoint, false)).port
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#door.close()
  }
}
