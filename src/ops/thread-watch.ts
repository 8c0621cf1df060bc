// Whether the relay threads are there and turn: each counts its sweeps, several a second, and one that counts no more
// hangs. The relay can't serve then, whatever its listener says, and after a while it can't go on. Nothing is asked of
// the threads. Silence is counted in looks, not in seconds: while the whole process or its machine is stopped, or
// starved, nobody looks either.

import type { Counters } from '#relay/counters.ts'
import type { HealthCheck, CheckOutcome } from './health.ts'

/** A thread that is so busy that it does not come to its timers for so many looks serves nobody well. */
const SILENT_LOOKS_MAX = 5
/** Nothing that a thread does takes so long, so it will not come back. */
const HUNG_LOOKS = 20

/** The threads by number. */
export interface WatchedThreads {
  readonly counters: readonly Counters[]
  /** Whether there is a thread at all. */
  readonly present: readonly boolean[]
  /** Whether each serves; one that has died does not until it has been replaced. */
  readonly serving: readonly boolean[]
}

export interface ThreadWatchParts {
  readonly threads: WatchedThreads
  /** How often `look` is called. */
  readonly lookMs: number
  /** Called once for a thread that will not come back. */
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

  /** To be called every `lookMs`. */
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
    // A thread that is silent while it starts anew hangs, too.
    const silent = this.#seen.flatMap((seen, thread) =>
      seen.silentLooks > SILENT_LOOKS_MAX ? [`thread ${thread} for ${this.#seconds(seen)} s`] : [],
    )
    if (silent.length > 0) return { isOk: false, detail: `no sign of life: ${silent.join(', ')}` }
    const absent = serving.flatMap((isServing, thread) => (isServing ? [] : [`thread ${thread}`]))
    if (absent.length > 0) return { isOk: false, detail: `died, being started anew: ${absent.join(', ')}` }
    return { isOk: true, detail: `${this.#seen.length} of ${this.#seen.length} turn` }
  }

  #seconds({ silentLooks }: Seen): number {
    return Math.round((silentLooks * this.#parts.lookMs) / 1_000)
  }
}
