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

function rent(pool: BufferPool, count: number): Buffer[] {
  return Array.from({ length: count }, () => pool.rent(131_072))
}

function giveBack(pool: BufferPool, buffers: readonly Buffer[]): void {
  for (const buffer of buffers) pool.giveBack(buffer)
}

it('keeps what is needed again and again, however much', () => {
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

it('keeps no more than 4 MiB of a size when a burst is over', () => {
  const pool = new BufferPool()
  const burst = rent(pool, 100)
  giveBack(pool, burst)
  // What was needed since the last call is kept once more.
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

it('makes what is over 2 MiB to measure and does not keep it', () => {
  const pool = new BufferPool()
  const large = pool.rent(2_097_153)
  expect(large.length).toBe(2_097_153)
  pool.giveBack(large)
  expect(pool.lentBytes).toBe(0)
  expect(pool.rent(2_097_153)).not.toBe(large)
})
