// Histograms of delays as the generator prints them: buckets that can be added, and percentiles of them. The bucket
// rule is that of generator/histogram.c: one bucket per value below 64 ns, then 64 buckets per power of two.

const BUCKETS_PER_OCTAVE = 64
const NS_PER_MS = 1e6

export interface Delays {
  readonly total: number
  readonly maxNs: number
  /** Bucket and count, in the order of the buckets; empty buckets are left out. */
  readonly buckets: readonly (readonly [number, number])[]
}

export const NO_DELAYS: Delays = { total: 0, maxNs: 0, buckets: [] }

/** The delays of several processes or several rounds together. */
export function mergeDelays(all: readonly Delays[]): Delays {
  const counts = new Map<number, number>()
  for (const { buckets } of all) {
    for (const [bucket, count] of buckets) counts.set(bucket, (counts.get(bucket) ?? 0) + count)
  }
  return {
    total: all.reduce((sum, { total }) => sum + total, 0),
    maxNs: all.reduce((max, { maxNs }) => Math.max(max, maxNs), 0),
    buckets: [...counts].sort(([a], [b]) => a - b),
  }
}

/** The delay in ms that this share (0.99: p99) does not exceed; NaN without delays. */
export function delayMs(delays: Delays, share: number): number {
  let seen = 0
  for (const [bucket, count] of delays.buckets) {
    seen += count
    if (seen >= share * delays.total) return middleNs(bucket) / NS_PER_MS
  }
  return Number.NaN
}

function middleNs(bucket: number): number {
  if (bucket < BUCKETS_PER_OCTAVE) return bucket
  const width = 2 ** (Math.floor(bucket / BUCKETS_PER_OCTAVE) - 1)
  return width * (BUCKETS_PER_OCTAVE + (bucket % BUCKETS_PER_OCTAVE)) + width / 2
}
