// One stream split in every way: frames, skips, rejections and stops must be the same, and every buffer must be returned.
// The sink overwrites borrowed buffers, so that nothing can be read twice or kept without a copy.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, FrameAction } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { disco, frames, largestPacket } from '../vectors/frames.ts'
import { clientA } from '../vectors/keys.ts'
import { clientInfo, fastStartRequest, serverInfo, serverKeyFrame } from '../vectors/login.ts'
import {
  bytesFrom,
  cutStream,
  damaged,
  singleBytes,
  someCuts,
  someFrames,
  type StreamFrame,
  streamOf,
} from './arbitraries.ts'
import { feedAll, frameEvent, headerEvent, RecordingSink, stopEvent, type Treat } from './recording-sink.ts'

const vectorFrames = [
  serverKeyFrame,
  clientInfo.frame,
  serverInfo.frame,
  disco.sendPacket,
  ...Object.values(frames),
]

/** The events of these frames, for any split. */
function expectedEvents(streamFrames: readonly StreamFrame[]): string[] {
  const events: string[] = []
  let streamAt = 0
  for (const { type, payload, action, continues } of streamFrames) {
    events.push(headerEvent(type, payload.length))
    streamAt += 5 + payload.length
    if (action === FrameAction.reject) break
    if (action === FrameAction.accept) events.push(frameEvent(type, payload))
    if (action === FrameAction.accept && !continues) events.push(stopEvent(streamAt))
  }
  return events
}

function read(chunks: readonly Buffer[], treat?: Treat) {
  const pool = new BufferPool()
  const sink = new RecordingSink(treat)
  const reader = new FrameReader(sink, pool)
  feedAll(reader, sink, chunks)
  return { pool, sink, reader }
}

function startsOf(streamFrames: readonly StreamFrame[]): number[] {
  let at = 0
  return streamFrames.map(({ payload }) => (at += 5 + payload.length) - 5 - payload.length)
}

const asAccepted = (frame: Buffer): StreamFrame => ({
  type: frame.readUInt8(0),
  payload: frame.subarray(5),
  action: FrameAction.accept,
  continues: true,
})

it('cuts a stream of all vectors into its frames, in one chunk and in single bytes', () => {
  const stream = Buffer.concat(vectorFrames)
  const expected = expectedEvents(vectorFrames.map(asAccepted))
  for (const chunks of [[stream], singleBytes(stream)]) {
    const { sink, pool } = read(chunks)
    expect(sink.events).toEqual(expected)
    expect(pool.lentBytes).toBe(0)
  }
})

it('gives the same frames, skips, rejections and stops for any split of the stream', () => {
  fc.assert(
    fc.property(someFrames, someCuts, (streamFrames, cuts) => {
      const chunks = cutStream(streamOf(streamFrames), cuts, startsOf(streamFrames))
      const { sink, pool } = read(chunks, (frameAt) => streamFrames[frameAt] as StreamFrame)
      expect(sink.events).toEqual(expectedEvents(streamFrames))
      expect(pool.lentBytes).toBe(0)
    }),
    { numRuns: 500 },
  )
})

it('gives the same frames, skips, rejections and stops byte by byte', () => {
  const small = someFrames.map((all) =>
    all.map((frame) => ({ ...frame, payload: frame.payload.subarray(0, 3_000) })),
  )
  fc.assert(
    fc.property(small, (streamFrames) => {
      const chunks = singleBytes(streamOf(streamFrames))
      const { sink, pool } = read(chunks, (frameAt) => streamFrames[frameAt] as StreamFrame)
      expect(sink.events).toEqual(expectedEvents(streamFrames))
      expect(pool.lentBytes).toBe(0)
    }),
    { numRuns: 60 },
  )
})

it('reads a 64 KiB packet in single bytes', () => {
  const frame = streamOf([{ type: 4, payload: Buffer.concat([clientA.publicKey, largestPacket()]) }])
  const { sink, pool } = read(singleBytes(frame))
  expect(sink.events).toEqual(expectedEvents([asAccepted(frame)]))
  expect(pool.lentBytes).toBe(0)
})

it('skips an unknown frame of 0 bytes, 100 bytes and 5 MB without keeping any of it', () => {
  for (const length of [0, 100, 5_000_000]) {
    const unknown = {
      type: 0x7e,
      payload: bytesFrom(length, length),
      action: FrameAction.skip,
      continues: true,
    }
    const streamFrames = [unknown, asAccepted(frames.ping)]
    const stream = streamOf(streamFrames)
    const pieces = Array.from({ length: Math.ceil(stream.length / 65_536) }, (_, i) =>
      stream.subarray(i * 65_536, (i + 1) * 65_536),
    )
    const { sink, pool } = read(pieces, (frameAt) => streamFrames[frameAt] as StreamFrame)
    expect(sink.events).toEqual(expectedEvents(streamFrames))
    expect(pool.lentBytes).toBe(0)
  }
})

it('reads the bytes behind an HTTP head as the same stream, for any split', () => {
  const stream = Buffer.concat([
    Buffer.from(fastStartRequest),
    clientInfo.frame,
    frames.notePreferredYes,
    frames.sendPacket,
  ])
  const headBytes = fastStartRequest.length
  const expected = expectedEvents(
    [clientInfo.frame, frames.notePreferredYes, frames.sendPacket].map(asAccepted),
  )
  for (let cut = headBytes; cut <= stream.length; cut++) {
    const { sink } = read([stream.subarray(headBytes, cut), stream.subarray(cut)])
    expect(sink.events).toEqual(expected)
  }
})

it('passes a whole frame on in place, without renting', () => {
  const pool = new BufferPool()
  const chunk = Buffer.concat([frames.keepAlive, frames.sendPacket])
  const seen: Buffer[] = []
  const reader = new FrameReader(
    {
      onHeader: () => FrameAction.accept,
      onFrame: (_type, buffer) => {
        seen.push(buffer)
        expect(pool.lentBytes).toBe(0)
        return true
      },
    },
    pool,
  )
  expect(reader.feed(chunk, 0, chunk.length)).toBe(chunk.length)
  expect(seen.map((buffer) => buffer === chunk)).toEqual([true, true])
})

it('rents memory for received bytes, never for the length in a header', () => {
  const pool = new BufferPool()
  const reader = new FrameReader(new RecordingSink(), pool)
  const chunk = Buffer.from('02fffffff0', 'hex')
  for (let arrived = 0; arrived < 20_000; arrived += chunk.length) {
    reader.feed(chunk, 0, chunk.length)
    expect(pool.lentBytes).toBeLessThanOrEqual(Math.max(2_048, 4 * (arrived + chunk.length)))
  }
  reader.close()
  expect(pool.lentBytes).toBe(0)
})

it('rents memory for the kept part of a shared buffer, not for the buffer', () => {
  const pool = new BufferPool()
  const reader = new FrameReader(new RecordingSink(), pool)
  const shared = Buffer.alloc(65_536, 0xee)
  frames.sendPacket.copy(shared, 65_536 - 40, 0, 40)
  reader.feed(shared, 65_536 - 40, 65_536)
  expect(pool.lentBytes).toBe(2_048)
})

it('returns its buffer when it is closed at any point, and reads nothing afterwards', () => {
  const stream = Buffer.concat(vectorFrames)
  for (let cut = 1; cut < stream.length; cut++) {
    const { sink, pool, reader } = read([
      stream.subarray(0, 3 + (cut % 5)),
      stream.subarray(3 + (cut % 5), cut),
    ])
    const heard = sink.events.length
    reader.close()
    reader.close()
    expect(pool.lentBytes).toBe(0)
    reader.feed(stream, cut, stream.length)
    expect(sink.events.length).toBe(heard)
    expect(pool.lentBytes).toBe(0)
  }
})

it('can be closed by its sink from a header or a frame, for any split', () => {
  const stream = Buffer.concat([frames.ping, frames.sendPacket, frames.ping])
  for (let cut = 1; cut < stream.length; cut++) {
    for (const action of Object.values(FrameAction)) {
      expect(readUntilClosed(stream, cut, { header: action })).toEqual({ eventsAfter: 0, lentBytes: 0 })
    }
    for (const continues of [true, false]) {
      expect(readUntilClosed(stream, cut, { frame: continues })).toEqual({ eventsAfter: 0, lentBytes: 0 })
    }
  }
})

/** Reads with a sink that closes its reader at the first SendPacket and then returns `answer`. */
function readUntilClosed(stream: Buffer, cut: number, answer: { header?: FrameAction; frame?: boolean }) {
  const pool = new BufferPool()
  let isClosed = false
  let eventsAfter = 0
  const close = (): void => {
    isClosed = true
    reader.close()
  }
  const reader: FrameReader = new FrameReader(
    {
      onHeader: (type) => {
        if (isClosed) eventsAfter++
        if (type !== FrameType.sendPacket || answer.header === undefined) return FrameAction.accept
        close()
        return answer.header
      },
      onFrame: (type) => {
        if (isClosed) eventsAfter++
        if (type !== FrameType.sendPacket || answer.frame === undefined) return true
        close()
        return answer.frame
      },
    },
    pool,
  )
  reader.feed(stream, 0, cut)
  reader.feed(stream, cut, stream.length)
  expect(isClosed).toBe(true)
  return { eventsAfter, lentBytes: pool.lentBytes }
}

/** Accepts up to 64 KiB, skips up to 1 MiB, rejects longer frames, like a relay. */
function actionFor(payloadBytes: number): FrameAction {
  if (payloadBytes <= 65_536) return FrameAction.accept
  return payloadBytes <= 1_048_576 ? FrameAction.skip : FrameAction.reject
}

it('reads damaged streams alike for any split, and always ends', () => {
  fc.assert(
    fc.property(damaged(Buffer.concat(vectorFrames), ...vectorFrames), someCuts, (stream, cuts) => {
      const whole = read([stream], (_frameAt, payloadBytes) => ({
        action: actionFor(payloadBytes),
        continues: true,
      }))
      for (const chunks of [singleBytes(stream), cutStream(stream, cuts, [0, 45, 154])]) {
        const { sink, pool, reader } = read(chunks, (_frameAt, payloadBytes) => ({
          action: actionFor(payloadBytes),
          continues: true,
        }))
        reader.close()
        expect(sink.events).toEqual(whole.sink.events)
        expect(pool.lentBytes).toBe(0)
      }
    }),
    { numRuns: 300 },
  )
})
