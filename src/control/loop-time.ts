// How long the event loops in one worker slot have worked and waited, over all threads that have run there. Runs on the
// control thread.
//
// Contract: both numbers never decrease, whatever the runtime reports of a thread that is just ending (it reports all of the
// thread's life as work, and -1 ms of waiting).

import type { LoopTime } from '#ops/metrics.ts'

const NONE: LoopTime = { activeMs: 0, idleMs: 0 }

export class LoopTimes {
  /** Of the threads that have died. */
  #past = NONE
  /** Of the present thread when it was read last. */
  #last = NONE

  /** @param read what the runtime reports of the present thread; undefined: there is none */
  total(read: LoopTime | undefined): LoopTime {
    if (read !== undefined && read.activeMs >= this.#last.activeMs && read.idleMs >= this.#last.idleMs) {
      this.#last = read
    }
    return sum(this.#past, this.#last)
  }

  /** The present thread has died; the next one counts from zero. */
  endOfThread(): void {
    this.#past = sum(this.#past, this.#last)
    this.#last = NONE
  }
}

function sum(a: LoopTime, b: LoopTime): LoopTime {
  return { activeMs: a.activeMs + b.activeMs, idleMs: a.idleMs + b.idleMs }
}
