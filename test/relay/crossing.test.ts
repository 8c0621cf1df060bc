import { Worker } from 'node:worker_threads'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, Verdict, type FrameSink } from '#protocol/frame-reader.ts'
import { Bell, CrossingReader, CrossingWriter, crossingMemory } from '#relay/crossing.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { type CrossingWriterData, payloadBytesOf } from './crossing-writer.ts'

/** What a crossing holds. */
const CAPACITY_BYTES = 1_048_576

/** Keeps each frame whole, and overwrites what it was lent. */
class Collector implements FrameSink {
  readonly frames: Buffer[] = []
  onFrameDone: () => void = () => undefined

  onHeader(): Verdict {
    return Verdict.take
  }

  onFrame(_type: number, buffer: Buffer, start: number, end: number): boolean {
    this.frames.push(Buffer.from(buffer.subarray(start - 5, end)))
    buffer.fill(0xaa, start - 5, end)
    this.onFrameDone()
    return true
  }
}

interface Ends {
  readonly writer: CrossingWriter
  readonly reader: CrossingReader
  readonly sink: Collector
  readonly frames: FrameReader
  readonly pool: BufferPool
}

/** A crossing that has carried so many bytes before. */
function crossing(carriedBytes = 0): Ends {
  const memory = crossingMemory()
  const indices = new Int32Array(memory, 0, 32)
  indices[0] = indices[16] = carriedBytes | 0
  const [sink, pool] = [new Collector(), new BufferPool()]
  const frames = new FrameReader(sink, pool)
  return { writer: new CrossingWriter(memory), reader: new CrossingReader(memory), sink, frames, pool }
}

function frameOf(seed: number, payloadBytes: number): Buffer {
  const frame = bytesFrom(seed, 5 + payloadBytes)
  frame.writeUInt32BE(payloadBytes, 1)
  return frame
}

/** Writes a frame in two parts, as a packet and its header are; false when it does not fit. */
function send(writer: CrossingWriter, frame: Buffer, partAt: number): boolean {
  if (!writer.hasRoom(frame.length)) return false
  const cut = Math.floor(partAt * frame.length)
  writer.put(frame, 0, cut)
  writer.put(frame, cut, frame.length)
  writer.publish()
  return true
}

const somePayloadBytes = fc.oneof(
  { weight: 6, arbitrary: fc.nat(300) },
  { weight: 3, arbitrary: fc.nat(5_000) },
  { weight: 2, arbitrary: fc.integer({ min: 65_000, max: 65_600 }) },
)
const someSteps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        seed: fc.integer(),
        bytes: somePayloadBytes,
        partAt: fc.double({ max: 1, min: 0, noNaN: true }),
      }),
    },
    { weight: 1, arbitrary: fc.constant('drain' as const) },
  ),
  { maxLength: 120 },
)
/** Close to where the ring and where the indices start anew. */
const someCarriedBytes = fc.oneof(
  fc.constant(0),
  fc.integer({ min: CAPACITY_BYTES - 70_000, max: CAPACITY_BYTES }),
  fc.integer({ min: 2 ** 31 - 70_000, max: 2 ** 31 + 10 }),
  fc.integer({ min: 2 ** 32 - 70_000, max: 2 ** 32 + 10 }),
)

it('any frames drained at any time arrive intact and in order, and what does not fit is refused', () => {
  fc.assert(
    fc.property(someCarriedBytes, someSteps, (carriedBytes, steps) => {
      const { writer, reader, sink, frames, pool } = crossing(carriedBytes)
      const sent: Buffer[] = []
      let waitingBytes = 0
      for (const step of steps) {
        if (step === 'drain') {
          reader.drain(frames)
          waitingBytes = 0
        } else {
          const frame = frameOf(step.seed, step.bytes)
          const fits = waitingBytes + frame.length <= CAPACITY_BYTES
          expect(send(writer, frame, step.partAt)).toBe(fits)
          if (!fits) continue
          sent.push(frame)
          waitingBytes += frame.length
        }
      }
      reader.drain(frames)
      expect(sink.frames.length).toBe(sent.length)
      expect(Buffer.concat(sink.frames).equals(Buffer.concat(sent))).toBe(true)
      expect(pool.lentBytes).toBe(0)
    }),
    { numRuns: 150 },
  )
})

it('is full at its capacity to the byte, and has all of it free again when drained', () => {
  const { writer, reader, sink, frames } = crossing(12_345)
  const whole = frameOf(1, CAPACITY_BYTES - 5)
  expect(writer.hasRoom(CAPACITY_BYTES + 1)).toBe(false)
  expect(send(writer, whole, 0.5)).toBe(true)
  expect(writer.hasRoom(1)).toBe(false)
  reader.drain(frames)
  expect(sink.frames).toEqual([whole])
  expect(writer.hasRoom(CAPACITY_BYTES)).toBe(true)
})

it('shows nothing before it is published', () => {
  const { writer, reader, sink, frames } = crossing()
  const frame = frameOf(1, 100)
  writer.put(frame, 0, frame.length)
  reader.drain(frames)
  expect(sink.frames).toEqual([])
  writer.publish()
  reader.drain(frames)
  expect(sink.frames).toEqual([frame])
})

it('a drain ends although the writer goes on writing', () => {
  const { writer, reader, sink, frames } = crossing()
  let left = 1_000
  sink.onFrameDone = () => {
    if (left-- > 0) send(writer, frameOf(left, 50), 0)
  }
  send(writer, frameOf(0, 50), 0)
  reader.drain(frames)
  expect(sink.frames.length).toBe(1)
  reader.drain(frames)
  expect(sink.frames.length).toBe(2)
})

it('a writer made anew goes on where the last one stopped', () => {
  const memory = crossingMemory()
  const sink = new Collector()
  const frames = new FrameReader(sink, new BufferPool())
  const reader = new CrossingReader(memory)
  const sent = [frameOf(1, 70), frameOf(2, 80)]
  for (const frame of sent) send(new CrossingWriter(memory), frame, 0.3)
  reader.drain(frames)
  expect(sink.frames).toEqual(sent)
})

it('a bell wakes who waits, and who comes after it has rung does not sleep', async () => {
  const bell = new Bell(Bell.memory())
  const before = bell.count()
  const woken = bell.wait(before)
  bell.ring()
  await woken
  expect(bell.count()).toBe(before + 1)
  await bell.wait(before)
})

it('a hundred thousand frames from another thread arrive intact and in order while it goes on writing', async () => {
  const frameCount = 100_000
  const data: CrossingWriterData = { memory: crossingMemory(), bell: Bell.memory(), frames: frameCount }
  const [bell, reader] = [new Bell(data.bell), new CrossingReader(data.memory)]
  let arrived = 0
  const wrong: string[] = []
  const sink: FrameSink = {
    onHeader: () => Verdict.take,
    onFrame: (_type, buffer, start, end) => {
      const isRight =
        end - start === payloadBytesOf(arrived) &&
        buffer.readUInt32BE(start) === arrived &&
        buffer.subarray(start + 4, end).every((byte) => byte === (arrived & 0xff))
      if (!isRight) wrong.push(`frame ${arrived}: ${buffer.toString('hex', start, start + 8)}`)
      arrived++
      return true
    },
  }
  const frames = new FrameReader(sink, new BufferPool())
  const worker = new Worker(new URL('crossing-writer.ts', import.meta.url), { workerData: data })
  const failure = new Promise<never>((_resolve, reject) => worker.once('error', reject))
  while (arrived < frameCount && wrong.length === 0) {
    const rung = bell.count()
    reader.drain(frames)
    if (arrived < frameCount) await Promise.race([bell.wait(rung), failure])
  }
  await worker.terminate()
  expect(wrong).toEqual([])
  expect(arrived).toBe(frameCount)
})
