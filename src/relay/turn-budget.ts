// The time that work of one kind may take in one turn of the event loop. It grows with what the turn takes otherwise: a
// thread whose turns are long has fewer of them, and would get less of that work done the more it is needed. Knows neither
// what the work is nor how turns come about.

export interface TurnBudgetParts {
  /** After so much time nothing more is begun in a turn … */
  readonly perTurnMs: number
  /** … or after this share of what the turn before took for everything else, if that is more. */
  readonly shareOfTurn: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class TurnBudget {
  readonly #parts: TurnBudgetParts
  #budgetMs: number
  #spentMs = 0
  #sinceMs = 0
  #isFollowed = false

  constructor(parts: TurnBudgetParts) {
    this.#parts = parts
    this.#budgetMs = parts.perTurnMs
  }

  get hasRoom(): boolean {
    return this.#spentMs < this.#budgetMs
  }

  spend(work: () => void): void {
    const { now } = this.#parts
    const sinceMs = now()
    work()
    this.#spentMs += now() - sinceMs
  }

  /** Work is left, so this turn asks for another one: the loop will not wait before it. */
  follow(): void {
    this.#isFollowed = true
  }

  /** A turn begins. */
  beginTurn(): void {
    const { now, perTurnMs, shareOfTurn } = this.#parts
    const nowMs = now()
    // Without work left in the turn before, the time since then may have been a wait.
    const otherMs = this.#isFollowed ? nowMs - this.#sinceMs - this.#spentMs : 0
    this.#isFollowed = false
    this.#budgetMs = Math.max(perTurnMs, otherMs * shareOfTurn)
    this.#spentMs = 0
    this.#sinceMs = nowMs
  }
}
