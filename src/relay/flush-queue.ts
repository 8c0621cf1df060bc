// When outboxes are written: what was put into them during a turn of the thread's loop leaves at its end, with one
// write per session. The transport's read scheduler may hold writes back until a connection has been read (`hold`,
// `release`), end a poll round (`endRound`), or have the outboxes written in the middle of a turn (`flushSoFar`).
// Decides nothing about what is written.

import { Counter, type Counters } from './counters.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { Flushable, OtherThreads } from './ports.ts'

/** How soon a flush is tried again while something waits for room at another thread. */
const RETRY_MS = 1

export interface FlushQueueParts {
  readonly counters: Counters
  readonly threads: OtherThreads
  readonly memoryBudget: MemoryBudget
  /** Reads what other threads have written. */
  readonly readThreads: () => void
  /** Asks for one call of `flush` when the current turn of the loop has been read. */
  readonly flushLater: () => void
  /** Calls back once after so many ms. */
  readonly later: (delayMs: number, callback: () => void) => void
}

export class FlushQueue {
  readonly #parts: FlushQueueParts
  #due: Flushable[] = []
  #dueAfterRound: Flushable[] = []
  #isFlushAsked = false
  #isHeld = false
  #isRetryComing = false

  constructor(parts: FlushQueueParts) {
    this.#parts = parts
  }

  /** To be flushed at the end of this turn. */
  add(one: Flushable): void {
    this.#due.push(one)
    this.wake()
  }

  /**
   * The same for an outbox that many connections fill: at the end of a poll round, if one is under way, never before.
   */
  addAfterRound(one: Flushable): void {
    if (this.#parts.threads.isInRound) {
      this.#dueAfterRound.push(one)
      return
    }
    this.#due.push(one)
    this.#flushLater()
  }

  /** Something waits to be written, here or at another thread. */
  wake(): void {
    if (!this.#isHeld) this.#flushLater()
  }

  /** Ends a turn: writes everything that it has put into outboxes. */
  flush(): void {
    const { counters, threads, memoryBudget, readThreads } = this.#parts
    counters.add(Counter.writeTurns, 1)
    // What other threads wrote during the turn leaves with the rest. They are woken last: on a core that threads share,
    // the woken thread takes over at once, before this turn is done.
    this.#isFlushAsked = true
    readThreads()
    this.#isFlushAsked = false
    memoryBudget.update()
    this.flushSoFar()
    if (threads.endTurn()) this.#retryLater()
  }

  // ── what the read scheduler asks ──

  /** Until `release`, writes wait for it. Not in a relay of several threads: they end turns together. */
  hold(isInRound: boolean): void {
    const { threads } = this.#parts
    this.#isHeld = threads.count === 0
    threads.isInRound = isInRound
  }

  /** Writes at once what was put into outboxes since `hold`. */
  release(): void {
    this.#isHeld = false
    this.#parts.threads.isInRound = false
    if (this.#due.length > 0 && !this.#isFlushAsked) this.flush()
  }

  /**
   * Ends a poll round: writes for siblings, too, whose links carry the packets of many clients at once. Reads what
   * other threads have written: while this thread polls they wake it for urgent frames only.
   */
  endRound(): void {
    this.#parts.readThreads()
    const due = this.#dueAfterRound
    this.#dueAfterRound = []
    for (const one of due) one.flush()
  }

  setPolling(isPolling: boolean): void {
    this.#parts.threads.setPolling(isPolling)
  }

  /** Writes what was put into outboxes so far, in the middle of a turn. */
  flushSoFar(): void {
    if (this.#due.length === 0) return
    const due = this.#due
    this.#due = []
    for (const one of due) one.flush()
  }

  #flushLater(): void {
    if (this.#isFlushAsked) return
    this.#isFlushAsked = true
    this.#parts.flushLater()
  }

  /** Another thread had no room: tries again, and again from there, until it has. */
  #retryLater(): void {
    if (this.#isRetryComing) return
    this.#isRetryComing = true
    this.#parts.later(RETRY_MS, () => {
      this.#isRetryComing = false
      this.flush()
    })
  }
}
