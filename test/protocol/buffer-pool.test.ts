// Renting and returning buffers, with the count compared with a list after every step.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'

it('rents no buffer twice and none too small, and counts rented bytes', () => {
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

it('rents returned buffers again', () => {
  const pool = new BufferPool()
  const first = pool.rent(100)
  pool.giveBack(first)
  expect(pool.rent(2_048)).toBe(first)
})

function rent(pool: BufferPool, count: number): Buffer[] {
  return Array.from({ length: count }, () => pool.rent(131_072))
}

function giveBack(pool: BufferPool, buffers: readonly Buffer[]): void {
  for (const buffer of buffers) pool.giveBack(buffer)
}

it('keeps all buffers that are needed repeatedly', () => {
  const pool = new BufferPool()
  const burst = rent(pool, 100)
  const known = new Set(burst)
  giveBack(pool, burst)
  for (let second = 0; second < 5; second++) {
    const again = rent(pool, 100)
    expect(again.every((buffer) => known.has(buffer))).toBe(true)
    giveBack(pool, again)
    pool.trim()
  }
})

it('keeps at most 4 MiB of each class after a burst', () => {
  const pool = new BufferPool()
  const burst = rent(pool, 100)
  giveBack(pool, burst)
  // Buffers needed since the last call are kept until the next one.
  pool.trim()
  giveBack(pool, rent(pool, 60))
  pool.trim()
  const known = new Set(burst)
  const keptThen = rent(pool, 100)
  expect(keptThen.filter((buffer) => known.has(buffer)).length).toBe(60)
  giveBack(pool, keptThen)
  pool.trim()
  pool.trim()
  const keptNow = new Set(keptThen)
  const left = rent(pool, 100).filter((buffer) => keptNow.has(buffer))
  expect(left.length).toBe(4_194_304 / 131_072)
})

it('makes buffers over 2 MiB of the exact size and does not keep them', () => {
  const pool = new BufferPool()
  const large = pool.rent(2_097_153)
  expect(large.length).toBe(2_097_153)
  pool.giveBack(large)
  expect(pool.lentBytes).toBe(0)
  expect(pool.rent(2_097_153)).not.toBe(large)
})
