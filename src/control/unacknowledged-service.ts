// Ends the sessions of remotes that no longer acknowledge, as after a pulled cable, where the kernel cannot be told to: with
// native calls each connection has a limit of its own (transport/listening-port.ts). The kernel's tables are for the whole
// process, so the control thread reads them and tells the relay threads which remotes are dead.

import { UnacknowledgedWatch } from '#transport/unacknowledged-watch.ts'
import type { DerpListener } from './derp-listener.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

/** How often the kernel's tables are read; a third of the default time limit. */
const LOOK_MS = 5_000

export interface UnacknowledgedServiceParts {
  /** How long a remote may not acknowledge; 0: for ever. */
  readonly limitMs: number
  /** Starts earlier. */
  readonly derp: DerpListener
  readonly threads: RelayThreads
}

export class UnacknowledgedService implements Service {
  readonly #parts: UnacknowledgedServiceParts
  #limitMs: number
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: UnacknowledgedServiceParts) {
    this.#parts = parts
    this.#limitMs = parts.limitMs
  }

  /** Another limit from now on, also for connections that there are. */
  setLimit(limitMs: number): void {
    this.stop()
    this.#limitMs = limitMs
    this.start()
  }

  start(): void {
    const { derp } = this.#parts
    const limitMs = this.#limitMs
    if (limitMs === 0) return
    const watch = new UnacknowledgedWatch(derp.endpoint.port, limitMs)
    this.#timer = setInterval(() => void this.#look(watch), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #look(watch: UnacknowledgedWatch): Promise<void> {
    const remotes = await watch.check(performance.now())
    if (remotes.length > 0) this.#parts.threads.broadcast({ kind: 'endUnacknowledged', remotes })
  }
}
