import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { Lane } from '#relay/lane.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'

function frameOf(seed: number, payloadBytes: number): Buffer {
  const frame = bytesFrom(seed, 5 + payloadBytes)
  frame.writeUInt32BE(payloadBytes, 1)
  return frame
}

/** Pushes a frame that lies between other bytes, all of which change afterwards. */
function push(lane: Lane, frame: Buffer, nowMs: number): void {
  const source = Buffer.concat([Buffer.alloc(3), frame, Buffer.alloc(4)])
  lane.push(source, 3, 3 + frame.length, nowMs)
  source.fill(0xee)
}

/** Takes the oldest chunk, checks its count, and returns its bytes. */
function take(lane: Lane, pool: BufferPool): Buffer {
  const chunk = lane.takeChunk()
  if (chunk === undefined) return Buffer.alloc(0)
  const bytes = Buffer.from(chunk.buffer.subarray(chunk.start, chunk.end))
  pool.giveBack(chunk.buffer)
  return bytes
}

const someOperation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      seed: fc.integer(),
      bytes: fc.oneof(
        { weight: 8, arbitrary: fc.nat(1_500) },
        { weight: 1, arbitrary: fc.integer({ min: 2_030, max: 2_060 }) },
        { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 140_000 }) },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.constant('drop' as const) },
  { weight: 1, arbitrary: fc.constant('take' as const) },
)

it('frames leave whole, in order and from the front, by drops and takes, and an empty lane holds no memory', () => {
  fc.assert(
    fc.property(fc.array(someOperation, { maxLength: 120 }), (operations) => {
      const pool = new BufferPool()
      const lane = new Lane(pool)
      let waiting: Buffer[] = []
      for (const operation of [...operations, 'take' as const]) {
        if (operation === 'drop') {
          expect(lane.dropOldest()).toBe(waiting.shift()?.length ?? 0)
        } else if (operation === 'take') {
          const taken = take(lane, pool)
          const left = waiting.slice(waiting.length - lane.frameCount)
          expect(Buffer.concat(waiting)).toEqual(Buffer.concat([taken, ...left]))
          waiting = left
        } else {
          const frame = frameOf(operation.seed, operation.bytes)
          waiting.push(frame)
          push(lane, frame, 0)
        }
        expect(lane.frameCount).toBe(waiting.length)
        expect(lane.bytes).toBe(waiting.reduce((sum, frame) => sum + frame.length, 0))
        if (waiting.length === 0) expect(pool.lentBytes).toBe(0)
        expect(lane.oldestMs).toBe(waiting.length === 0 ? undefined : 0)
      }
    }),
    { numRuns: 200 },
  )
})

it('memory stays within a small factor of the bytes that wait', () => {
  const pool = new BufferPool()
  const lane = new Lane(pool)
  for (let i = 0; i < 5_000; i++) {
    push(lane, frameOf(i, 100), 0)
    expect(pool.lentBytes).toBeLessThanOrEqual(2_048 + 8 * lane.bytes)
  }
})

it('frames that came over a longer time do not share a chunk, so that the age of the oldest is known', () => {
  const pool = new BufferPool()
  const lane = new Lane(pool)
  for (let ms = 0; ms < 1_000; ms += 10) push(lane, frameOf(ms, 10), ms)
  for (let dropped = 0; dropped < 100; dropped++) {
    const ageError = 10 * dropped - (lane.oldestMs ?? Number.NaN)
    expect(ageError).toBeGreaterThanOrEqual(0)
    expect(ageError).toBeLessThanOrEqual(100)
    lane.dropOldest()
  }
  expect(pool.lentBytes).toBe(0)
})

it('a busy lane that becomes quiet uses no more memory per frame than the frame needs', () => {
  const pool = new BufferPool()
  const lane = new Lane(pool)
  for (let i = 0; i < 100; i++) push(lane, frameOf(i, 1_400), 0)
  while (take(lane, pool).length > 0);
  for (let ms = 0; ms < 30_000; ms += 200) push(lane, frameOf(ms, 100), ms)
  expect(lane.frameCount).toBe(150)
  expect(pool.lentBytes).toBeLessThanOrEqual(131_072 + 150 * 2_048)
})
