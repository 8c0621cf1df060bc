import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { TokenBucket } from '#protocol/token-bucket.ts'

it('gives its depth at once, then its rate', () => {
  const bucket = new TokenBucket(1, 3, 0)
  const takenAt = [0, 0, 0, 0, 999, 1_000, 1_000, 2_500, 3_000, 3_500].map((ms) => bucket.tryTake(1, ms))
  expect(takenAt).toEqual([true, true, true, false, false, true, false, true, true, false])
})

it('never holds more than its depth', () => {
  const bucket = new TokenBucket(1, 3, 0)
  const taken = Array.from({ length: 5 }, () => bucket.tryTake(1, 1_000_000))
  expect(taken).toEqual([true, true, true, false, false])
})

it('takes nothing if it refuses', () => {
  const bucket = new TokenBucket(1, 3, 0)
  expect(bucket.tryTake(4, 0)).toBe(false)
  expect(bucket.tryTake(3, 0)).toBe(true)
})

it('is not filled by a clock that goes backwards', () => {
  const bucket = new TokenBucket(1, 3, 10_000)
  expect(bucket.tryTake(3, 10_000)).toBe(true)
  expect(bucket.tryTake(1, 5_000)).toBe(false)
})

it('says how long a debt takes to pay off', () => {
  const bucket = new TokenBucket(1_000, 500, 0)
  expect(bucket.overdraw(500, 0)).toBe(0)
  expect(bucket.overdraw(250, 0)).toBe(250)
  expect(bucket.overdraw(250, 250)).toBe(250)
})

it('an owner that always waits as told is served at the rate, whatever the amounts', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.integer({ min: 0, max: 100_000 }),
      fc.array(fc.integer({ min: 0, max: 65_568 }), { minLength: 1, maxLength: 50 }),
      (perSecond, depth, amounts) => {
        const bucket = new TokenBucket(perSecond, depth, 0)
        let nowMs = 0
        for (const amount of amounts) nowMs += bucket.overdraw(amount, nowMs)
        const taken = amounts.reduce((sum, amount) => sum + amount, 0)
        const expectedMs = (Math.max(0, taken - depth) / perSecond) * 1_000
        expect(nowMs).toBeCloseTo(expectedMs, 3)
      },
    ),
  )
})
