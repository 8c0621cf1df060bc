// How many lines of one sort the log takes a second: a scanner, or a region that restarts, makes thousands. What gets no
// line of its own is counted by kind, and told of when its second is over. Writes nothing itself.

const SECOND_MS = 1_000

export interface LineLimitParts<K> {
  readonly linesPerSecond: number
  /** Calls back once after so many ms. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** What a second's lines had no room for, by kind. */
  readonly onLeftOut: (counts: ReadonlyMap<K, number>) => void
}

export class LineLimit<K> {
  readonly #parts: LineLimitParts<K>
  #secondStartedMs = -Infinity
  #lineCount = 0
  #leftOut = new Map<K, number>()

  constructor(parts: LineLimitParts<K>) {
    this.#parts = parts
  }

  /** Whether there may be a line; counts it otherwise. */
  take(kind: K): boolean {
    const nowMs = this.#parts.now()
    // While some are left out, the second lasts until they have been told of.
    if (this.#leftOut.size === 0 && nowMs - this.#secondStartedMs >= SECOND_MS) {
      this.#secondStartedMs = nowMs
      this.#lineCount = 0
    }
    if (this.#lineCount >= this.#parts.linesPerSecond) {
      this.#leaveOut(kind)
      return false
    }
    this.#lineCount++
    return true
  }

  #leaveOut(kind: K): void {
    const { now, later, onLeftOut } = this.#parts
    if (this.#leftOut.size === 0) {
      later(Math.max(0, this.#secondStartedMs + SECOND_MS - now()), () => {
        const counts = this.#leftOut
        this.#leftOut = new Map()
        onLeftOut(counts)
      })
    }
    this.#leftOut.set(kind, (this.#leftOut.get(kind) ?? 0) + 1)
  }
}

/** All of them, and how many of each kind: the fields of a line about lines left out. */
export function leftOutFields<K extends string>(
  counts: ReadonlyMap<K, number>,
): { readonly count: number; readonly kinds: Readonly<Record<string, number>> } {
  const kinds: Record<string, number> = Object.fromEntries(counts)
  return { count: Object.values(kinds).reduce((sum, part) => sum + part, 0), kinds }
}
