// Waiting times between attempts, at both ends of their random spread.

import { expect, test } from 'vitest'
import { backOffMs } from '#protocol/back-off.ts'

test.each([
  [1, 5, 15],
  [2, 20, 60],
  [10, 500, 1_500],
  [22, 2_420, 7_260],
  [23, 2_500, 7_500],
  [1_000, 2_500, 7_500],
])('failure %i waits %i to %i ms', (failureCount, least, most) => {
  expect([backOffMs(failureCount, 0), backOffMs(failureCount, 1)]).toEqual([least, most])
})
