// Clients that leave all at once, again and again, beside other loads: their process is killed, so that the system ends all their
// connections together, and the same number comes back.

import { setTimeout as sleep } from 'node:timers/promises'
import { Generator } from '../load/generator-process.ts'
import { type HeldClients, heldClientArguments } from '../load/held-clients.ts'

export class Departures {
  /** So often all have left. */
  count = 0
  readonly #args: readonly string[]
  readonly #cpu: string
  #present: Generator | undefined = undefined

  /** @param args the generator's for the server */
  constructor(args: readonly string[], clients: Pick<HeldClients, 'count' | 'loginFrom'>, cpu: string) {
    this.#args = [...args, ...heldClientArguments({ ...clients, settleSeconds: 1 })]
    this.#cpu = cpu
  }

  /** Until `end` settles: all leave at the end of each interval. */
  async run(intervalMs: number, end: Promise<unknown>): Promise<void> {
    const stop = new AbortController()
    const ended = end.then(
      () => stop.abort(),
      () => stop.abort(),
    )
    try {
      while (!stop.signal.aborted) {
        this.#present = await Generator.start(this.#args, this.#cpu)
        await this.#present.next('phase', ({ name }) => name === 'fresh')
        await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined)
        await this.#present.stop()
        this.count++
      }
      await ended
    } finally {
      await this.#present?.stop()
    }
  }
}
