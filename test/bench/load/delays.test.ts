// Percentiles out of sparse buckets, against the delays themselves.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { delayMs, mergeDelays, NO_DELAYS, type Delays } from '../../../bench/load/delays.ts'

/** The rule that the generator's histogram keeps: one bucket each below 64 ns, then 64 to every power of two. */
function bucketOf(ns: number): number {
  if (ns < 64) return ns
  const exponent = Math.floor(Math.log2(ns))
  return (exponent - 5) * 64 + (Math.floor(ns / 2 ** (exponent - 6)) % 64)
}

function counted(all: readonly number[]): Delays {
  const counts = new Map<number, number>()
  for (const ns of all) counts.set(bucketOf(ns), (counts.get(bucketOf(ns)) ?? 0) + 1)
  return { total: all.length, maxNs: Math.max(...all), buckets: [...counts].sort(([a], [b]) => a - b) }
}

const someDelays = fc.array(fc.integer({ min: 1, max: 2 ** 31 }), { minLength: 1, maxLength: 200 })

it('reads every percentile to 1.6 %', () => {
  fc.assert(
    fc.property(someDelays, fc.constantFrom(0.5, 0.99, 0.999, 1), (all, share) => {
      const exactNs = all.toSorted((a, b) => a - b)[Math.ceil(share * all.length) - 1] ?? 0
      expect(Math.abs(delayMs(counted(all), share) * 1e6 - exactNs)).toBeLessThanOrEqual(0.016 * exactNs)
    }),
  )
})

it('adds histograms as if one process had kept them', () => {
  fc.assert(
    fc.property(someDelays, someDelays, (alice, bob) => {
      expect(mergeDelays([counted(alice), counted(bob)])).toEqual(counted([...alice, ...bob]))
    }),
  )
})

it('has no percentile of nothing', () => {
  expect(delayMs(NO_DELAYS, 0.5)).toBeNaN()
  expect(mergeDelays([])).toEqual(NO_DELAYS)
})
