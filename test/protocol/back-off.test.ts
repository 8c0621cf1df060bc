// Delays between attempts, compared with the formulas that they had where each was computed by its user.

import { expect, it, test } from 'vitest'
import { backOffMs, jittered, NO_JITTER, TAILSCALE_BACK_OFF, type BackOff } from '#protocol/back-off.ts'

const FAILURES = Array.from({ length: 200 }, (_, i) => i + 1)
const RANDOM = [0, 1 / 3, 0.5, 255 / 256]

test.each([
  [1, 5, 15],
  [2, 20, 60],
  [10, 500, 1_500],
  [22, 2_420, 7_260],
  [23, 2_500, 7_500],
  [1_000, 2_500, 7_500],
])('failure %i waits %i to %i ms', (failureCount, least, most) => {
  const bounds = [
    backOffMs(TAILSCALE_BACK_OFF, failureCount, 0),
    backOffMs(TAILSCALE_BACK_OFF, failureCount, 1),
  ]
  expect(bounds).toEqual([least, most])
})

test.each<[string, BackOff, (n: number, random: number) => number]>([
  ["Tailscale's clients", TAILSCALE_BACK_OFF, (n, random) => Math.min(10 * n * n, 5_000) * (0.5 + random)],
  [
    'doubling with jitter',
    { firstMs: 500, growth: 'doubling', maxMs: 5_000, jitter: { from: 1, to: 1.25 } },
    (n, random) => Math.min(5_000, 250 * 2 ** n) * (1 + (random * 256) / 1_024),
  ],
  [
    'doubling without a limit',
    { firstMs: 100, growth: 'doubling', maxMs: Infinity, jitter: NO_JITTER },
    (n) => 100 * 2 ** (n - 1),
  ],
  [
    'constant with jitter',
    { firstMs: 1_000, growth: 'constant', maxMs: 1_000, jitter: { from: 1, to: 2 } },
    (_n, random) => 1_000 * (1 + random),
  ],
])('the curve of %s is exactly its formula', (_whose, curve, formula) => {
  for (const n of FAILURES) {
    for (const random of RANDOM) expect(backOffMs(curve, n, random)).toBe(formula(n, random))
  }
})

it('spreads a fixed delay', () => {
  expect([0, 0.5].map((random) => jittered(30_000, { from: 1, to: 1.25 }, random))).toEqual([30_000, 33_750])
})
