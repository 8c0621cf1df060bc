// Limits the log lines of one kind per second: a port scanner, or the restart of a region, causes thousands. Suppressed
// lines are counted by kind and reported at the end of the second. Writes nothing itself.

const SECOND_MS = 1_000

export interface LineLimitParts<K> {
  readonly linesPerSecond: number
  /** Calls back once, after `delayMs`. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Receives the number of suppressed lines of a second, by kind. */
  readonly onSuppressed: (counts: ReadonlyMap<K, number>) => void
}

export class LineLimit<K> {
  readonly #parts: LineLimitParts<K>
  #secondStartedMs = -Infinity
  #lineCount = 0
  #suppressed = new Map<K, number>()

  constructor(parts: LineLimitParts<K>) {
    this.#parts = parts
  }

  /** Returns whether the line may be written; otherwise counts it as suppressed. */
  take(kind: K): boolean {
    const nowMs = this.#parts.now()
    // After a suppressed line, the second lasts until the report.
    if (this.#suppressed.size === 0 && nowMs - this.#secondStartedMs >= SECOND_MS) {
      this.#secondStartedMs = nowMs
      this.#lineCount = 0
    }
    if (this.#lineCount >= this.#parts.linesPerSecond) {
      this.#suppress(kind)
      return false
    }
    this.#lineCount++
    return true
  }

  #suppress(kind: K): void {
    const { now, later, onSuppressed } = this.#parts
    if (this.#suppressed.size === 0) {
      later(Math.max(0, this.#secondStartedMs + SECOND_MS - now()), () => {
        const counts = this.#suppressed
        this.#suppressed = new Map()
        onSuppressed(counts)
      })
    }
    this.#suppressed.set(kind, (this.#suppressed.get(kind) ?? 0) + 1)
  }
}

/** The fields of a line about suppressed lines: their number, in all and by kind. */
export function suppressedFields<K extends string>(
  counts: ReadonlyMap<K, number>,
): { readonly count: number; readonly kinds: Readonly<Record<string, number>> } {
  const kinds: Record<string, number> = Object.fromEntries(counts)
  return { count: Object.values(kinds).reduce((sum, part) => sum + part, 0), kinds }
}
