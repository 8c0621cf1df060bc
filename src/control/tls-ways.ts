// By what the relay threads do TLS, for the metric. Runs on the control thread.

import type { NativeWays } from '#ops/native-families.ts'
import type { TlsWay } from '#worker/acceptor-setup.ts'

export class TlsWays {
  /** By the number of the thread. */
  readonly #ways: TlsWay[] = []

  note(thread: number, way: TlsWay): void {
    this.#ways[thread] = way
  }

  /** `off` until a thread has said. */
  get inUse(): NativeWays['client_tls'] {
    const [way = 'off', ...more] = new Set(Object.values(this.#ways))
    return more.length > 0 ? 'mixed' : way
  }
}
