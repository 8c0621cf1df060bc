// Which ways the relay threads go where there are several, for the metric. Runs on the control thread.

import type { NativeWays } from '#ops/native-families.ts'
import type { ThreadWay } from '#worker/acceptor-setup.ts'

type Use = ThreadWay['use']

export class ThreadWays {
  /** By the use, then by the number of the thread. */
  readonly #ways: Readonly<Record<Use, ThreadWay['way'][]>> = { client_tls: [], poll_rounds: [] }

  note(thread: number, { use, way }: ThreadWay): void {
    this.#ways[use][thread] = way
  }

  /** `off` until a thread has said. */
  inUse<One extends Use>(use: One): NativeWays[One] {
    const [way = 'off', ...more] = new Set(Object.values(this.#ways[use]))
    return (more.length > 0 ? 'mixed' : way) as NativeWays[One]
  }
}
