// Lending and giving back buffers, with the count of what is out compared to a list after every step.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'

it('lends no buffer twice, none too small, and counts what is out', () => {
  const someSteps = fc.array(
    fc.oneof(
      fc.record({ rent: fc.oneof(fc.nat(5_000), fc.nat(200_000), fc.nat(3_000_000)) }),
      fc.record({ returnAt: fc.nat(40) }),
    ),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(someSteps, (steps) => {
      const pool = new BufferPool()
      const out: Buffer[] = []
      for (const step of steps) {
        if ('rent' in step) {
          const buffer = pool.rent(step.rent)
          expect(buffer.length).toBeGreaterThanOrEqual(step.rent)
          expect(out.some((other) => other.buffer === buffer.buffer)).toBe(false)
          out.push(buffer)
        } else {
          for (const buffer of out.splice(step.returnAt, 1)) pool.giveBack(buffer)
        }
        expect(pool.lentBytes).toBe(out.reduce((sum, buffer) => sum + buffer.length, 0))
      }
      for (const buffer of out) pool.giveBack(buffer)
      expect(pool.lentBytes).toBe(0)
    }),
    { numRuns: 50 },
  )
})

it('lends again what came back', () => {
  const pool = new BufferPool()
  const first = pool.rent(100)
  pool.giveBack(first)
  expect(pool.rent(2_048)).toBe(first)
})

it('keeps no more than 4 MiB of a size after a burst', () => {
  const pool = new BufferPool()
  const burst = Array.from({ length: 100 }, () => pool.rent(131_072))
  const known = new Set(burst)
  for (const buffer of burst) pool.giveBack(buffer)
  const again = Array.from({ length: 100 }, () => pool.rent(131_072))
  expect(again.filter((buffer) => known.has(buffer)).length).toBe(4_194_304 / 131_072)
})

it('makes what is over 2 MiB to measure and does not keep it', () => {
  const pool = new BufferPool()
  const large = pool.rent(2_097_153)
  expect(large.length).toBe(2_097_153)
  pool.giveBack(large)
  expect(pool.lentBytes).toBe(0)
  expect(pool.rent(2_097_153)).not.toBe(large)
})
