// The token bucket against the clock that it is given.

import { expect, test } from 'vitest'
import { SendLimiter } from '#client/send-limiter.ts'

test('a burst, then the rate, never more than a burst saved up', () => {
  const limiter = new SendLimiter(1_000, 300, 0)
  const admitted = (nowMs: number): number => {
    let count = 0
    // 63 bytes and 37 around them.
    while (limiter.admits(63, nowMs)) count++
    return count
  }
  expect(admitted(0)).toBe(3)
  expect(admitted(99)).toBe(0)
  expect(admitted(100)).toBe(1)
  expect(admitted(350)).toBe(2)
  expect(admitted(60_000)).toBe(3)
})

test('a packet over the burst never goes', () => {
  expect(new SendLimiter(1_000, 99, 0).admits(63, 1_000_000)).toBe(false)
})
