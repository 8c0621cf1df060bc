import { Worker } from 'node:worker_threads'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { RingReader, type RingSink, RingWriter, ringMemory } from '#interthread/ring.ts'
import { Wakeup } from '#interthread/wakeup.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { type RingWriterData, payloadBytesOf } from './ring-writer.ts'

/** Capacity of a ring. */
const RING_BYTES = 1_048_576

/** Keeps a copy of each frame, and overwrites the bytes that it was lent. */
class Collector implements RingSink {
  readonly frames: Buffer[] = []
  onFrameDone: () => void = () => undefined

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    expect(buffer[start - 5]).toBe(type)
    this.frames.push(Buffer.from(buffer.subarray(start - 5, end)))
    buffer.fill(0xaa, start - 5, end)
    this.onFrameDone()
  }
}

interface Ends {
  readonly writer: RingWriter
  readonly reader: RingReader
  readonly sink: Collector
}

/** A ring that has carried so many bytes before. */
function makeRing(carriedBytes = 0): Ends {
  const memory = ringMemory()
  const indices = new Int32Array(memory, 0, 32)
  indices[0] = indices[16] = carriedBytes | 0
  return { writer: new RingWriter(memory), reader: new RingReader(memory), sink: new Collector() }
}

function frameOf(seed: number, payloadBytes: number): Buffer {
  const frame = bytesFrom(seed, 5 + payloadBytes)
  frame.writeUInt32BE(payloadBytes, 1)
  return frame
}

/** Writes a frame. Returns false if it does not fit. */
function send(writer: RingWriter, frame: Buffer): boolean {
  const at = writer.reserve(frame.length)
  if (at < 0) return false
  writer.bytes.set(frame, at)
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
      arbitrary: fc.record({ seed: fc.integer(), bytes: somePayloadBytes }),
    },
    { weight: 1, arbitrary: fc.constant('drain' as const) },
  ),
  { maxLength: 120 },
)
/** Close to where the ring and the indices wrap around. */
const someCarriedBytes = fc.oneof(
  fc.constant(0),
  fc.integer({ min: RING_BYTES - 70_000, max: RING_BYTES }),
  fc.integer({ min: 2 ** 31 - 70_000, max: 2 ** 31 + 10 }),
  fc.integer({ min: 2 ** 32 - 70_000, max: 2 ** 32 + 10 }),
)

it('any frames, drained at any time, arrive intact and in order, and frames that do not fit are refused', () => {
  fc.assert(
    fc.property(someCarriedBytes, someSteps, (carriedBytes, steps) => {
      const { writer, reader, sink } = makeRing(carriedBytes)
      const sent: Buffer[] = []
      let waitingBytes = 0
      for (const step of steps) {
        if (step === 'drain') {
          reader.drain(sink)
          waitingBytes = 0
        } else {
          const frame = frameOf(step.seed, step.bytes)
          const fits = waitingBytes + frame.length <= RING_BYTES
          expect(send(writer, frame)).toBe(fits)
          if (!fits) continue
          sent.push(frame)
          waitingBytes += frame.length
        }
      }
      reader.drain(sink)
      expect(sink.frames.length).toBe(sent.length)
      expect(Buffer.concat(sink.frames).equals(Buffer.concat(sent))).toBe(true)
    }),
    { numRuns: 150 },
  )
})

it('is full at its capacity, to the byte, and empty again when drained', () => {
  const { writer, reader, sink } = makeRing(12_345)
  const sent = Array.from({ length: 16 }, (_, n) => frameOf(n, RING_BYTES / 16 - 5))
  for (const frame of sent) expect(send(writer, frame)).toBe(true)
  expect(writer.reserve(1)).toBe(-1)
  reader.drain(sink)
  expect(sink.frames).toEqual(sent)
  for (const frame of sent) expect(send(writer, frame)).toBe(true)
})

it('shows nothing before it is published', () => {
  const { writer, reader, sink } = makeRing()
  const frame = frameOf(1, 100)
  writer.bytes.set(frame, writer.reserve(frame.length))
  reader.drain(sink)
  expect(sink.frames).toEqual([])
  writer.publish()
  reader.drain(sink)
  expect(sink.frames).toEqual([frame])
})

it('a drain ends although the writer goes on writing', () => {
  const { writer, reader, sink } = makeRing()
  let left = 1_000
  sink.onFrameDone = () => {
    if (left-- > 0) send(writer, frameOf(left, 50))
  }
  send(writer, frameOf(0, 50))
  reader.drain(sink)
  expect(sink.frames.length).toBe(1)
  reader.drain(sink)
  expect(sink.frames.length).toBe(2)
})

it('a new writer goes on where the last one stopped', () => {
  const memory = ringMemory()
  const sink = new Collector()
  const reader = new RingReader(memory)
  const sent = [frameOf(1, 70), frameOf(2, 80)]
  for (const frame of sent) send(new RingWriter(memory), frame)
  reader.drain(sink)
  expect(sink.frames).toEqual(sent)
})

it('frames that are not read any more can be reclaimed, without one that was not finished', () => {
  const { writer, reader, sink } = makeRing(RING_BYTES - 100)
  const sent = [frameOf(1, 70), frameOf(2, 80), frameOf(3, 90)]
  for (const frame of sent.slice(0, 1)) send(writer, frame)
  reader.drain(sink)
  for (const frame of sent.slice(1)) send(writer, frame)
  const unfinishedAt = writer.reserve(500)
  writer.bytes.fill(0xbb, unfinishedAt, unfinishedAt + 300)
  const reclaimed = new Collector()
  writer.reclaim(reclaimed)
  expect(reclaimed.frames).toEqual(sent.slice(1))
})

it('a hundred thousand frames from another thread arrive intact and in order while it goes on writing', async () => {
  const frameCount = 100_000
  const data: RingWriterData = { memory: ringMemory(), wakeup: Wakeup.memory(), frames: frameCount }
  const [wakeup, reader] = [new Wakeup(data.wakeup), new RingReader(data.memory)]
  let arrived = 0
  const wrong: string[] = []
  const sink: RingSink = {
    onFrame: (_type, buffer, start, end) => {
      const isRight =
        end - start === payloadBytesOf(arrived) &&
        buffer.readUInt32BE(start) === arrived &&
        buffer.subarray(start + 4, end).every((byte) => byte === (arrived & 0xff))
      if (!isRight) wrong.push(`frame ${arrived}: ${buffer.toString('hex', start, start + 8)}`)
      arrived++
    },
  }
  const worker = new Worker(new URL('ring-writer.ts', import.meta.url), { workerData: data })
  const failure = new Promise<never>((_resolve, reject) => worker.once('error', reject))
  while (arrived < frameCount && wrong.length === 0) {
    const wakeCount = wakeup.count()
    wakeup.setAwake(true)
    reader.drain(sink)
    wakeup.setAwake(false)
    if (arrived < frameCount && !reader.hasFrames) await Promise.race([wakeup.wait(wakeCount), failure])
  }
  await worker.terminate()
  expect(wrong).toEqual([])
  expect(arrived).toBe(frameCount)
})
