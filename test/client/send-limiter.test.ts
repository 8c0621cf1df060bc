// The token bucket with given times.

import { expect, test } from 'vitest'
import { SendLimiter } from '#client/send-limiter.ts'

test('admits a burst, then the rate, and saves up no more than a burst', () => {
  const limiter = new SendLimiter(1_000, 300, 0)
  const admitted = (nowMs: number): number => {
    let count = 0
    // 63 bytes, and 37 of the frame around them.
    while (limiter.admits(63, nowMs)) count++
    return count
  }
  expect(admitted(0)).toBe(3)
  expect(admitted(99)).toBe(0)
  expect(admitted(100)).toBe(1)
  expect(admitted(350)).toBe(2)
  expect(admitted(60_000)).toBe(3)
})

test('never admits a packet larger than the burst', () => {
  expect(new SendLimiter(1_000, 99, 0).admits(63, 1_000_000)).toBe(false)
})
