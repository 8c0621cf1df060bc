// A measured number: its rounds, their median, minimum and maximum.

export interface Sample {
  readonly rounds: readonly number[]
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The rounds as a sample. The median is NaN if any round is NaN (nothing arrived, or a division by zero). */
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
