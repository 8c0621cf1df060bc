// A measured number: all its rounds, and what is said of them.

export interface Sample {
  readonly rounds: readonly number[]
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The rounds as a sample. NaN rounds (nothing came, nothing to divide by) make the whole sample NaN. */
export function sampleOf(rounds: readonly number[]): Sample {
  const sorted = [...rounds].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const low = sorted[Math.floor(middle)] ?? Number.NaN
  const high = sorted[Math.ceil(middle)] ?? Number.NaN
  return {
    rounds,
    median: rounds.some(Number.isNaN) ? Number.NaN : (low + high) / 2,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  }
}
