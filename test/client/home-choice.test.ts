import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HomeChoice, takeOverNsMax, type HomeChoiceOptions, type HomeDecision } from '#client/home-choice.ts'

const MS = 1_000_000
const ns = (latencies: Readonly<Record<number, number>>): Map<number, number> =>
  new Map(Object.entries(latencies).map(([region, ms]) => [Number(region), ms * MS]))

/** A choice with a clock that the test sets, and the times at which regions were heard. */
class Clocked {
  nowMs = 1_000_000
  readonly heard = new Map<number, number>()
  readonly choice: HomeChoice

  constructor(options: Partial<HomeChoiceOptions> = {}) {
    this.choice = new HomeChoice({
      nowMs: () => this.nowMs,
      lastHeardMs: (region) => this.heard.get(region),
      ...options,
    })
  }

  report(latencies: Readonly<Record<number, number>>, startedMs = this.nowMs): HomeDecision {
    return this.choice.choose({ startedMs, latencyNs: ns(latencies) })
  }
}

describe('the table of section 3.7', () => {
  test.each([
    [30, 21, 1, 'small-gain'],
    [34, 23, 1, 'small-ratio'],
    [30, 20, 2, 'moved'],
    [40, 26, 2, 'moved'],
  ])('home %d ms, other %d ms: region %d, %s', (homeMs, otherMs, home, reason) => {
    expect(new Clocked({ home: 1 }).report({ 1: homeMs, 2: otherMs })).toMatchObject({ home, reason })
  })

  test.each([
    [5_000, 1, 'heard'],
    [7_999, 1, 'heard'],
    [8_000, 2, 'silent'],
    [undefined, 2, 'silent'],
  ])('home silent, a frame %s ms ago: region %d, %s', (agoMs, home, reason) => {
    const clocked = new Clocked({ home: 1 })
    if (agoMs !== undefined) clocked.heard.set(1, clocked.nowMs - agoMs)
    expect(clocked.report({ 2: 5 })).toMatchObject({ home, reason })
  })

  test('a frame since the report began counts, however long the report took', () => {
    const clocked = new Clocked({ home: 1 })
    clocked.heard.set(1, clocked.nowMs - 9_000)
    expect(clocked.report({ 2: 5 }, clocked.nowMs - 9_001)).toMatchObject({ home: 1, reason: 'heard' })
  })

  test.each([
    [119_999, 1, 'kept'],
    [120_000, undefined, 'unknown'],
  ])('nothing measured, a frame %d ms ago: region %s, %s', (agoMs, home, reason) => {
    const clocked = new Clocked({ home: 1 })
    clocked.heard.set(1, clocked.nowMs - agoMs)
    expect(clocked.report({})).toMatchObject({ home, reason })
  })
})

test('whole nanoseconds: a third is rounded down before it is doubled', () => {
  const choice = (otherNs: number): number | undefined =>
    new HomeChoice({ nowMs: () => 0, home: 1 }).choose({
      startedMs: 0,
      latencyNs: new Map([
        [1, 50_000_000],
        [2, otherNs],
      ]),
    }).home
  // Two thirds of 50 ms are 33,333,333.3 ns; the clients compute 33,333,332.
  expect([choice(33_333_332), choice(33_333_333)]).toEqual([2, 1])
})

test('the smallest latency of 5 min 5 s counts for the candidate, the current one for the home', () => {
  const clocked = new Clocked({ home: 1 })
  clocked.report({ 1: 20, 2: 20 })
  clocked.nowMs += 305_000
  expect(clocked.report({ 1: 45, 2: 60 })).toMatchObject({ home: 1, nearest: 1 })
  clocked.nowMs += 1
  // The first report has left: now 45 of the last report against 60.
  expect(clocked.report({ 1: 200, 2: 60 })).toMatchObject({ home: 1, nearest: 1, nearestNs: 45 * MS })
})

test('only a region of this report can become home', () => {
  const clocked = new Clocked({ home: 1 })
  clocked.report({ 1: 50, 2: 40 })
  expect(clocked.report({ 1: 50 })).toMatchObject({ home: 1, nearest: 1 })
})

test('a momentary slow-down of the home moves a client between equal regions', () => {
  const clocked = new Clocked({ home: 1 })
  clocked.report({ 1: 21, 2: 20 })
  expect(clocked.report({ 1: 31, 2: 29 })).toMatchObject({ home: 2, reason: 'moved' })
})

describe('scores', () => {
  test.each([
    // C7: to push a client from 20 ms to 40 ms takes a score over max(50/20, 60/20).
    [2.99, 1],
    [3.01, 2],
    [0, 1],
    [-5, 1],
  ])('home 20 ms with score %d, other 40 ms: region %d', (score, home) => {
    const clocked = new Clocked({ home: 1 })
    clocked.choice.setScores(new Map([[1, score]]))
    expect(clocked.report({ 1: 20, 2: 40 }).home).toBe(home)
  })

  test('a score that attracts', () => {
    const clocked = new Clocked({ home: 1 })
    clocked.choice.setScores(new Map([[2, 0.25]]))
    expect(clocked.report({ 1: 20, 2: 40 })).toMatchObject({ home: 2, nearestNs: 10 * MS })
    clocked.choice.setScores(new Map())
    expect(clocked.report({ 1: 20, 2: 40 })).toMatchObject({ home: 1, reason: 'moved' })
  })
})

test('a forced region wins if it is measured or heard, and not otherwise', () => {
  const clocked = new Clocked({ home: 1, forced: 3 })
  expect(clocked.report({ 1: 5, 3: 500 })).toMatchObject({ home: 3, reason: 'forced' })
  expect(clocked.report({ 1: 5 })).toMatchObject({ home: 1, reason: 'silent' })
  clocked.heard.set(3, clocked.nowMs - 100)
  expect(clocked.report({ 1: 5 })).toMatchObject({ home: 3, reason: 'forced' })
})

test('of equal regions the home is taken, else the lowest number', () => {
  expect(new Clocked().report({ 7: 20, 3: 20, 5: 20 }).home).toBe(3)
  expect(new Clocked({ home: 5 }).report({ 7: 20, 3: 20, 5: 20 }).home).toBe(5)
})

test('what takes over is what the rules move to', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 * MS }),
      fc.integer({ min: 1, max: 500 * MS }),
      (homeNs, otherNs) => {
        const choice = new HomeChoice({ nowMs: () => 0, home: 1 })
        const { home } = choice.choose({
          startedMs: 0,
          latencyNs: new Map([
            [1, homeNs],
            [2, otherNs],
          ]),
        })
        expect(home === 2).toBe(otherNs <= takeOverNsMax(homeNs))
      },
    ),
  )
})

describe('against a naive model', () => {
  /** A direct reading of the specification, with all reports kept and BigInt for nanoseconds. */
  function naive(
    reports: readonly {
      atMs: number
      startedMs: number
      latencies: readonly (readonly [number, number])[]
    }[],
    world: {
      scores: ReadonlyMap<number, number>
      heard: ReadonlyMap<number, number>
      forced: number | undefined
    },
    previous: number | undefined,
  ): number | undefined {
    const last = reports.at(-1)
    if (last === undefined) return previous
    const scale = (region: number, value: number): bigint => {
      const score = world.scores.get(region)
      return BigInt(score !== undefined && score > 0 ? Math.trunc(value * score) : value)
    }
    const heardAgoMs = (region: number | undefined): number =>
      region === undefined ? Infinity : last.atMs - (world.heard.get(region) ?? -Infinity)
    const alive = (region: number | undefined): boolean =>
      heardAgoMs(region) < Math.max(8_000, last.atMs - last.startedMs)
    const recent = reports.filter(({ atMs }) => last.atMs - atMs <= 305_000)
    const candidates = last.latencies
      .map(([region]) => {
        const all = recent.flatMap(({ latencies }) =>
          latencies.filter(([r]) => r === region).map(([, v]) => v),
        )
        return { region, best: scale(region, all.toSorted((a, b) => a - b)[0] ?? 0) }
      })
      .toSorted((a, b) =>
        a.best < b.best
          ? -1
          : a.best > b.best
            ? 1
            : a.region === previous
              ? -1
              : b.region === previous
                ? 1
                : a.region - b.region,
      )
    const isMeasured = (region: number): boolean => last.latencies.some(([r]) => r === region)
    if (world.forced !== undefined && (isMeasured(world.forced) || alive(world.forced))) return world.forced
    const [winner] = candidates
    if (winner === undefined) return heardAgoMs(previous) < 120_000 ? previous : undefined
    if (previous === undefined || winner.region === previous) return winner.region
    const own = last.latencies.find(([region]) => region === previous)
    if (own === undefined && !alive(previous)) return winner.region
    const nowNs = own === undefined ? 0n : scale(previous, own[1])
    if (nowNs - winner.best < 10_000_000n || winner.best > (nowNs / 3n) * 2n) return previous
    return winner.region
  }

  // Few values, near the thresholds, so that ties and edges are met.
  const region = fc.integer({ min: 1, max: 4 })
  const latency = fc.oneof(
    fc.constantFrom(10, 15, 20, 21, 30, 31, 34, 40, 45, 60).map((ms) => ms * MS),
    fc.integer({ min: 1, max: 80 * MS }),
  )
  const step = fc.record({
    afterMs: fc.constantFrom(0, 20_000, 26_000, 119_999, 120_000, 305_000, 305_001),
    tookMs: fc.constantFrom(0, 3_000, 5_000, 9_000),
    latencies: fc.uniqueArray(fc.tuple(region, latency), { selector: ([one]) => one, maxLength: 4 }),
    heard: fc.array(fc.tuple(region, fc.constantFrom(0, 7_999, 8_000, 8_500, 119_999, 120_000)), {
      maxLength: 2,
    }),
    scores: fc.option(fc.array(fc.tuple(region, fc.constantFrom(0.5, 1.5, 3, 0, -1)), { maxLength: 3 })),
  })

  test('any history gives the same homes', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 12 }),
        fc.option(region),
        fc.option(region),
        (steps, home, forced) => {
          const clocked = new Clocked({ home: home ?? undefined, forced: forced ?? undefined })
          const reports: Parameters<typeof naive>[0][number][] = []
          let scores = new Map<number, number>()
          let expected = home ?? undefined
          for (const { afterMs, tookMs, latencies, heard, scores: given } of steps) {
            clocked.nowMs += afterMs + tookMs
            if (given !== null) clocked.choice.setScores((scores = new Map(given)))
            for (const [one, agoMs] of heard) clocked.heard.set(one, clocked.nowMs - agoMs)
            const startedMs = clocked.nowMs - tookMs
            reports.push({ atMs: clocked.nowMs, startedMs, latencies })
            expected = naive(reports, { scores, heard: clocked.heard, forced: forced ?? undefined }, expected)
            const decision = clocked.choice.choose({ startedMs, latencyNs: new Map(latencies) })
            expect(decision.home).toBe(expected)
          }
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
