import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { PausedInput, PAUSED_BYTES_MAX } from '#relay/paused-input.ts'

it('holds what was added, in order, however it is read, and gives back all its memory at the end', () => {
  const pool = new BufferPool()
  const bytes = randomBytes(200_000)
  const paused = new PausedInput(pool, bytes, 0, 1)
  const read: Buffer[] = []
  for (let at = 1, step = 1; at < bytes.length; at += step, step = (step * 7 + 3) % 3_001) {
    expect(paused.add(bytes, at, Math.min(bytes.length, at + step))).toBe(true)
    const end = Math.min(paused.to, paused.from + (step % 1_009))
    read.push(Buffer.from(paused.buffer.subarray(paused.from, end)))
    paused.from = end
  }
  read.push(Buffer.from(paused.buffer.subarray(paused.from, paused.to)))
  expect(Buffer.concat(read).equals(bytes)).toBe(true)
  paused.close()
  expect(pool.lentBytes).toBe(0)
})

it.each([
  [PAUSED_BYTES_MAX - 1, true],
  [PAUSED_BYTES_MAX, true],
  [PAUSED_BYTES_MAX + 1, false],
])('%i bytes in all fit: %s, in one piece and in many', (bytes, fits) => {
  const chunk = Buffer.alloc(bytes)
  const pool = new BufferPool()
  expect(new PausedInput(pool, chunk, 0, 1).add(chunk, 1, bytes)).toBe(fits)
  const many = new PausedInput(pool, chunk, 0, 1)
  let isAdded = true
  for (let at = 1; at < bytes; at += 1_024) isAdded = many.add(chunk, at, Math.min(bytes, at + 1_024))
  expect(isAdded).toBe(fits)
  expect(pool.lentBytes).toBeLessThan(8 * PAUSED_BYTES_MAX)
})
