// Limits the work of one kind that is done in one turn of the loop; more work waits for the next turns, first come,
// first served. For work that thousands of clients may cause at the same moment: logins, handshakes, closing
// connections. Knows neither what the work is nor how turns come about.

import { TurnBudget, type TurnBudgetParts } from './turn-budget.ts'

export interface TurnQueueParts extends TurnBudgetParts {
  /** Pieces of work per turn. */
  readonly perTurnMax: number
  /** Calls back in the next turn of the loop. */
  readonly nextTurn: (callback: () => void) => void
}

export class TurnQueue {
  readonly #parts: TurnQueueParts
  readonly #budget: TurnBudget
  #queue: (() => void)[] = []
  #count = 0
  #isTurnComing = false

  constructor(parts: TurnQueueParts) {
    this.#parts = parts
    this.#budget = new TurnBudget(parts)
  }

  /** Whether `run` would do the work at once. */
  get isFree(): boolean {
    return this.#queue.length === 0 && this.#hasRoom
  }

  /** Does `work` at once, or in a later turn. */
  run(work: () => void): void {
    if (this.isFree) this.#do(work)
    else this.#queue.push(work)
    if (this.#isTurnComing) return
    this.#isTurnComing = true
    this.#parts.nextTurn(this.#onTurn)
  }

  get #hasRoom(): boolean {
    return this.#count < this.#parts.perTurnMax && this.#budget.hasRoom
  }

  #do(work: () => void): void {
    this.#count++
    this.#budget.spend(work)
  }

  readonly #onTurn = (): void => {
    this.#isTurnComing = false
    this.#count = 0
    this.#budget.beginTurn()
    if (this.#queue.length === 0) return
    const queue = this.#queue
    this.#queue = []
    let done = 0
    while (done < queue.length && this.#hasRoom) this.#do(queue[done++] as () => void)
    // Work that was added meanwhile comes after the work that waited already.
    this.#queue = queue.slice(done).concat(this.#queue)
    this.#budget.follow()
    this.#isTurnComing = true
    this.#parts.nextTurn(this.#onTurn)
  }
}
