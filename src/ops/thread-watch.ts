// Whether the relay threads are there and turn: each counts its sweeps, several a second, and one that counts no more
// hangs. The relay can't serve then, whatever its listener says. Looked at now and then; nothing is asked of the
// threads.

import type { Counters } from '#relay/counters.ts'
import type { Check, CheckOutcome } from './health.ts'

/** A thread that is so busy that it does not come to its timers for this long serves nobody well. */
const SILENCE_MS_MAX = 5_000

/** The threads by number. */
export interface WatchedThreads {
  readonly counters: readonly Counters[]
  /** Whether each serves; one that has died does not until it has been replaced. */
  readonly serving: readonly boolean[]
}

interface Seen {
  readonly counters: Counters
  sweeps: number
  changedMs: number
}

export class ThreadWatch implements Check {
  readonly name = 'relay_threads'
  readonly #threads: WatchedThreads
  readonly #seen: readonly Seen[]
  readonly #now: () => number

  /** @param now monotonic milliseconds */
  constructor(threads: WatchedThreads, now: () => number) {
    this.#threads = threads
    this.#now = now
    this.#seen = threads.counters.map((counters) => ({ counters, sweeps: -1, changedMs: now() }))
  }

  /** To be called every second or so. */
  look(): void {
    for (const seen of this.#seen) {
      const sweeps = seen.counters.get('sweeps')
      if (sweeps === seen.sweeps) continue
      seen.sweeps = sweeps
      seen.changedMs = this.#now()
    }
  }

  check(): CheckOutcome {
    const absent = this.#threads.serving.flatMap((isServing, index) => (isServing ? [] : [`thread ${index}`]))
    if (absent.length > 0) return { isOk: false, detail: `died, being started anew: ${absent.join(', ')}` }
    const silent = this.#seen.flatMap(({ changedMs }, index) => {
      const silenceMs = this.#now() - changedMs
      return silenceMs > SILENCE_MS_MAX ? [`thread ${index} for ${(silenceMs / 1_000).toFixed(0)} s`] : []
    })
    if (silent.length > 0) return { isOk: false, detail: `no sign of life: ${silent.join(', ')}` }
    return { isOk: true, detail: `${this.#seen.length} of ${this.#seen.length} turn` }
  }
}
