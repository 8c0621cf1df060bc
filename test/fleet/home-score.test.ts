import fc from 'fast-check'
import { expect, test } from 'vitest'
import { homeScore } from '#fleet/home-score.ts'
import { homeAfter, MS } from './home-choice-model.ts'

const REFERENCE = 30 * MS
/** A microsecond: clients calculate in whole nanoseconds, which blurs a threshold by one or two. */
const TICK = 1_000

const preference = fc.integer({ min: 0, max: 1_000 })
const latency = (fromMs: number, toMs: number) =>
  fc.integer({ min: fromMs * TICK, max: toMs * TICK }).map((microseconds) => microseconds * TICK)

/** Where a client goes whose home is at one latency, if the preferred region is at another. */
function homeOf(
  home: 'near' | 'preferred' | undefined,
  near: number,
  preferred: number,
  within: number,
): string {
  return homeAfter({ home, latencies: { near, preferred }, scores: { preferred: homeScore(within) } })
}

/** The latency of the preferred region up to which a client leaves its home, and the other way round. */
function moveThreshold(home: number, score: number): number {
  return Math.min(home - 10 * MS, (home * 2) / 3) / score
}

test('a client that is 30 ms or more from its home moves if the preferred region is at most so many ms farther', () => {
  fc.assert(
    fc.property(
      latency(30, 400),
      preference,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (near, within, part) => {
        const preferred = Math.floor((near + within * MS) * part)
        fc.pre(preferred > 0)
        expect(homeOf('near', near, preferred, within)).toBe('preferred')
        expect(homeOf('near', near, near + within * MS, within)).toBe('preferred')
      },
    ),
  )
})

test('a client that is 30 ms or less from its home stays if the preferred region is more than so many ms farther', () => {
  fc.assert(
    fc.property(latency(1, 30), preference, latency(0, 400), (near, within, more) => {
      const farther = near + within * MS + MS / 10
      expect(homeOf('near', near, farther, within)).toBe('near')
      expect(homeOf('near', near, farther + more, within)).toBe('near')
    }),
  )
})

test('for any home, the threshold is where the documentation has it, on both sides', () => {
  fc.assert(
    fc.property(latency(11, 400), preference, (near, within) => {
      const threshold = moveThreshold(near, homeScore(within))
      expect(homeOf('near', near, Math.floor(threshold - TICK * 2), within)).toBe('preferred')
      expect(homeOf('near', near, Math.ceil(threshold + TICK * 2), within)).toBe('near')
    }),
  )
})

test('a client leaves the preferred region only for one that is nearer than its scaled latency by the same rules', () => {
  fc.assert(
    fc.property(latency(1, 1_000), preference, (preferred, within) => {
      const scaled = preferred * homeScore(within)
      const threshold = Math.min(scaled - 10 * MS, (scaled * 2) / 3)
      const above = Math.ceil(Math.max(threshold, 0) + TICK * 2)
      expect(homeOf('preferred', above, preferred, within)).toBe('preferred')
      fc.pre(threshold > TICK * 3)
      expect(homeOf('preferred', Math.floor(threshold - TICK * 2), preferred, within)).toBe('near')
    }),
  )
})

test('a client between the two thresholds stays where it is, and moves at most once', () => {
  fc.assert(
    fc.property(latency(1, 400), latency(1, 400), preference, (near, preferred, within) => {
      const fromNear = homeOf('near', near, preferred, within)
      const fromPreferred = homeOf('preferred', near, preferred, within)
      expect([fromNear, fromPreferred]).not.toEqual(['preferred', 'near'])
    }),
  )
})

test('a client that starts goes there up to one and a half times as far, which is not promised away', () => {
  fc.assert(
    fc.property(latency(1, 400), latency(1, 1_000), preference, (near, preferred, within) => {
      const scaled = Math.trunc(preferred * homeScore(within))
      fc.pre(scaled !== near)
      expect(homeOf(undefined, near, preferred, within)).toBe(scaled < near ? 'preferred' : 'near')
    }),
  )
})

test('regions without a preference are to each other as without scores', () => {
  const home = fc.constantFrom('a', 'b', undefined)
  fc.assert(
    fc.property(latency(1, 400), latency(1, 400), home, (a, b, before) => {
      const latencies = { a, b, preferred: 10_000 * MS }
      const scores = { a: homeScore(undefined), b: homeScore(undefined), preferred: homeScore(0) }
      const choice = { home: before, latencies }
      expect(homeAfter({ ...choice, scores })).toBe(homeAfter({ ...choice, scores: {} }))
    }),
  )
})

test.each([
  [undefined, 1],
  [0, 0.666666],
  [10, 0.5],
  [20, 0.4],
  [70, 0.2],
  [1_000, 0.019417],
])('the score for %s ms is a short decimal: %s', (within, score) => {
  expect(homeScore(within)).toBe(score)
})

test('the model of the client decides the examples of its description', () => {
  const examples = [
    [30, 21, 'keep'],
    [34, 23, 'keep'],
    [30, 20, 'switch'],
    [40, 26, 'switch'],
  ] as const
  for (const [home, other, result] of examples) {
    const latencies = { home: home * MS, other: other * MS }
    expect(homeAfter({ home: 'home', latencies, scores: {} })).toBe(result === 'keep' ? 'home' : 'other')
  }
  expect(REFERENCE).toBe(30 * MS)
})
