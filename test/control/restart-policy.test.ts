import { expect, it } from 'vitest'
import { RestartPolicy } from '#control/restart-policy.ts'

it('restarts at once, then with doubling delays, and gives up at the sixth death within a minute', () => {
  const policy = new RestartPolicy()
  expect([0, 1, 2, 3, 4].map((second) => policy.died(1_000 * second))).toEqual([0, 100, 200, 400, 800])
  expect(policy.died(59_999)).toBeUndefined()
  expect(policy.recentDeaths).toBe(6)
})

it('does not count deaths that are older than a minute', () => {
  const policy = new RestartPolicy()
  for (let minute = 0; minute < 20; minute++) expect(policy.died(60_000 * minute)).toBe(0)
  expect(policy.died(60_000 * 19 + 30_000)).toBe(100)
  expect(policy.died(60_000 * 20)).toBe(100)
})
