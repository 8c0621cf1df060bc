// Percentiles of a histogram, compared with those of the delays themselves.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { delayMs, mergeDelays, NO_DELAYS, type Delays } from '../../../bench/load/delays.ts'

/** The generator's bucket rule: one bucket per value below 64 ns, then 64 buckets per power of two. */
function bucketOf(ns: number): number {
  if (ns < 64) return ns
  const exponent = Math.floor(Math.log2(ns))
  return (exponent - 5) * 64 + (Math.floor(ns / 2 ** (exponent - 6)) % 64)
}

function histogramOf(all: readonly number[]): Delays {
  const counts = new Map<number, number>()
  for (const ns of all) counts.set(bucketOf(ns), (counts.get(bucketOf(ns)) ?? 0) + 1)
  return { total: all.length, maxNs: Math.max(...all), buckets: [...counts].sort(([a], [b]) => a - b) }
}

const someDelays = fc.array(fc.integer({ min: 1, max: 2 ** 31 }), { minLength: 1, maxLength: 200 })

it('gives every percentile with an error of at most 1.6 %', () => {
  fc.assert(
    fc.property(someDelays, fc.constantFrom(0.5, 0.99, 0.999, 1), (all, share) => {
      const exactNs = all.toSorted((a, b) => a - b)[Math.ceil(share * all.length) - 1] ?? 0
      expect(Math.abs(delayMs(histogramOf(all), share) * 1e6 - exactNs)).toBeLessThanOrEqual(0.016 * exactNs)
    }),
  )
})

it('merges histograms into that of all delays together', () => {
  fc.assert(
    fc.property(someDelays, someDelays, (alice, bob) => {
      expect(mergeDelays([histogramOf(alice), histogramOf(bob)])).toEqual(histogramOf([...alice, ...bob]))
    }),
  )
})

it('gives NaN without delays', () => {
  expect(delayMs(NO_DELAYS, 0.5)).toBeNaN()
  expect(mergeDelays([])).toEqual(NO_DELAYS)
})
