import { expect, test } from 'vitest'
import { backOffMs } from '#protocol/back-off.ts'
import {
  askAgainMs,
  firstQuestionMs,
  renewalByLife,
  renewalByWindow,
  retriesFor,
  type Life,
} from '#certificates/renewal-schedule.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const life = (days: number): Life => ({ fromMs: 0, untilMs: days * DAY_MS })
const RANDOM = [0, 0.25, 0.5, 0.999]

test.each([90, 64, 6, 0.001])('a certificate of %d days is renewed around two thirds of its life', (days) => {
  for (const random of RANDOM) {
    const share = renewalByLife(life(days), random) / (days * DAY_MS)
    expect(share).toBeGreaterThan(0.63)
    expect(share).toBeLessThan(0.71)
  }
})

test('a window gives a random time within it, but never in the last tenth of the life', () => {
  const window = { fromMs: 50 * DAY_MS, untilMs: 52 * DAY_MS }
  expect(RANDOM.map((random) => renewalByWindow(life(90), window, random) / DAY_MS)).toEqual([
    50, 50.5, 51, 51.998,
  ])
  expect(renewalByWindow(life(90), { fromMs: 88 * DAY_MS, untilMs: 120 * DAY_MS }, 0.5)).toBe(81 * DAY_MS)
  expect(renewalByWindow(life(90), { fromMs: -2 * DAY_MS, untilMs: -1 * DAY_MS }, 0.5)).toBeLessThan(0)
})

test('failures are repeated soon and ever later, several times within the last third of any life', () => {
  const delays = (days: number | undefined): number[] =>
    [1, 2, 3, 10, 1_000].map((count) =>
      backOffMs(retriesFor(days === undefined ? undefined : life(days)), count, 0.5),
    )
  expect(delays(undefined)).toEqual([120_000, 240_000, 480_000, HOUR_MS, HOUR_MS])
  expect(delays(90)).toEqual(delays(undefined))
  expect(delays(6)).toEqual(delays(undefined))
  // One minute: a second, then four.
  expect(delays(1 / 1_440)).toEqual([1_000, 2_000, 4_000, 4_000, 4_000])
})

test('the authority is asked several times in any life', () => {
  const information = { fromMs: 0, untilMs: 1, askAgainMs: 6 * HOUR_MS, explanation: undefined }
  expect(askAgainMs(life(90), information)).toBe(6 * HOUR_MS)
  expect(askAgainMs(life(90), undefined)).toBe(6 * HOUR_MS)
  expect(askAgainMs(life(1), information)).toBe(3 * HOUR_MS)
  expect(firstQuestionMs(life(90), 0.5)).toBe(300_000)
  expect(firstQuestionMs(life(1 / 1_440), 0.5)).toBe(300)
})
