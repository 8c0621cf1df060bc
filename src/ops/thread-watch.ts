// The readiness check of the relay threads. Each thread counts its sweeps, several a second; a thread whose count stands
// still hangs. A relay with a hung thread can't serve, and after a longer time the thread is replaced. The control thread
// only reads the counters and sends the threads no messages. Silence is counted in looks, not in seconds: while the whole
// process or its machine is stopped or starved, no looks take place either.

import type { Counters } from '#relay/counters.ts'
import type { HealthCheck, CheckOutcome } from './health.ts'

/** A thread that runs no timers during this many looks is unresponsive, even if it is only busy. */
const SILENT_LOOKS_MAX = 5
/** No work of a thread takes this long, so the thread will not recover. */
const HUNG_LOOKS = 20

/** The threads, by number. */
export interface WatchedThreads {
  readonly counters: readonly Counters[]
  /** Whether the thread exists. */
  readonly present: readonly boolean[]
  /** Whether the thread serves. A dead thread does not until it has been replaced. */
  readonly serving: readonly boolean[]
}

export interface ThreadWatchParts {
  readonly threads: WatchedThreads
  /** How often `look` is called. */
  readonly lookMs: number
  /** Called once for a thread that will not recover. */
  onHang(thread: number, seconds: number): void
}

interface Seen {
  sweeps: number
  silentLooks: number
}

export class ThreadWatch implements HealthCheck {
  readonly name = 'relay_threads'
  readonly #parts: ThreadWatchParts
  readonly #seen: readonly Seen[]

  constructor(parts: ThreadWatchParts) {
    this.#parts = parts
    this.#seen = parts.threads.counters.map(() => ({ sweeps: -1, silentLooks: 0 }))
  }

  /** Must be called every `lookMs`. */
  look(): void {
    const { counters, present } = this.#parts.threads
    for (const [thread, seen] of this.#seen.entries()) {
      const sweeps = counters[thread]?.get('sweeps') ?? 0
      const isSilent = sweeps === seen.sweeps && present[thread] === true
      seen.sweeps = sweeps
      seen.silentLooks = isSilent ? seen.silentLooks + 1 : 0
      if (seen.silentLooks === HUNG_LOOKS) this.#parts.onHang(thread, this.#seconds(seen))
    }
  }

  check(): CheckOutcome {
    const { serving } = this.#parts.threads
    // A thread that is silent during its restart hangs, too.
    const silent = this.#seen.flatMap((seen, thread) =>
      seen.silentLooks > SILENT_LOOKS_MAX ? [`thread ${thread} for ${this.#seconds(seen)} s`] : [],
    )
    if (silent.length > 0) return { isOk: false, detail: `unresponsive: ${silent.join(', ')}` }
    const absent = serving.flatMap((isServing, thread) => (isServing ? [] : [`thread ${thread}`]))
    if (absent.length > 0) return { isOk: false, detail: `died, restarting: ${absent.join(', ')}` }
    return { isOk: true, detail: `${this.#seen.length} of ${this.#seen.length} relay threads responsive` }
  }

  #seconds({ silentLooks }: Seen): number {
    return Math.round((silentLooks * this.#parts.lookMs) / 1_000)
  }
}
