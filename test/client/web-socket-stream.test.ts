// WebSocket framing with the examples of RFC 6455, with messages split in every way, and with frames that a server must
// not send.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { webSocketAccept } from '#protocol/web-socket-handshake.ts'
import { WebSocketStream } from '#client/web-socket-stream.ts'

class Recorder {
  received = Buffer.alloc(0)
  replies: Buffer[] = []
  closed: [number, string] | undefined
  violation: string | undefined

  onPayload(buffer: Buffer, start: number, end: number): void {
    this.received = Buffer.concat([this.received, buffer.subarray(start, end)])
  }

  onReply(bytes: Buffer): void {
    this.replies.push(Buffer.from(bytes))
  }

  onClose(code: number, text: string): void {
    this.closed = [code, text]
  }

  onViolation(message: string): void {
    this.violation = message
  }
}

interface Unmasked {
  readonly opcode: number
  readonly payload: Buffer
}

/** A server's frame. */
function serverFrame(opcode: number, payload: Uint8Array, isFinal = true): Buffer {
  const header = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10)
  header[0] = (isFinal ? 0x80 : 0) | opcode
  header[1] = payload.length
  if (header.length === 4) header[1] = 126
  if (header.length === 4) header.writeUInt16BE(payload.length, 2)
  if (header.length === 10) header[1] = 127
  if (header.length === 10) header.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([header, payload])
}

/** Reads a client's frames, which must be masked, final and at most 32 KiB long. */
function readClientFrames(bytes: Buffer): Unmasked[] {
  const frames: Unmasked[] = []
  for (let at = 0; at < bytes.length;) {
    const first = bytes.readUInt8(at)
    const second = bytes.readUInt8(at + 1)
    expect([first & 0xf0, second & 0x80]).toEqual([0x80, 0x80])
    const short = second & 0x7f
    const maskAt = at + (short === 126 ? 4 : 2)
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short
    expect(length).toBeLessThanOrEqual(32_768)
    const mask = bytes.subarray(maskAt, maskAt + 4)
    const masked = bytes.subarray(maskAt + 4, maskAt + 4 + length)
    frames.push({
      opcode: first & 0x0f,
      payload: Buffer.from(masked.map((byte, i) => byte ^ mask.readUInt8(i % 4))),
    })
    at = maskAt + 4 + length
  }
  return frames
}

function receive(...frames: Buffer[]): Recorder {
  const recorder = new Recorder()
  const bytes = Buffer.concat(frames)
  new WebSocketStream(recorder, 100_000).receive(bytes, 0, bytes.length)
  return recorder
}

test('the accept value of RFC 6455 §1.3', () => {
  expect(webSocketAccept('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
})

test('the examples of RFC 6455 §5.7 that apply to DERP', () => {
  const hello = Buffer.from('820548656c6c6f', 'hex')
  expect(receive(hello).received.toString()).toBe('Hello')
  const ping = receive(Buffer.from('890548656c6c6f', 'hex'))
  expect(readClientFrames(Buffer.concat(ping.replies))).toEqual([
    { opcode: 10, payload: Buffer.from('Hello') },
  ])
  const bytes256 = Buffer.concat([Buffer.from('827e0100', 'hex'), Buffer.alloc(256, 7)])
  expect(receive(bytes256).received).toEqual(Buffer.alloc(256, 7))
  const bytes64k = Buffer.concat([Buffer.from('827f0000000000010000', 'hex'), Buffer.alloc(65_536, 7)])
  expect(receive(bytes64k).received).toEqual(Buffer.alloc(65_536, 7))
})

test('any bytes are sent as masked binary messages of at most 32 KiB', () => {
  const lengths = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 32_000, max: 100_000 }))
  fc.assert(
    fc.property(lengths, fc.nat(255), (length, first) => {
      const bytes = Buffer.from({ length }).map((_, i) => (first + i * 31) & 0xff)
      const frames = readClientFrames(new WebSocketStream(new Recorder(), 1).encode(bytes))
      expect(frames.every(({ opcode }) => opcode === 2)).toBe(true)
      expect(Buffer.concat(frames.map(({ payload }) => payload)).equals(bytes)).toBe(true)
    }),
    { numRuns: 60 },
  )
})

test('the stream is the same for every fragmentation, interleaved ping and split', () => {
  const piece = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  const message = fc.array(fc.record({ piece, ping: fc.option(piece.filter((p) => p.length <= 125)) }), {
    minLength: 1,
    maxLength: 5,
  })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, step) => {
      const frames: Buffer[] = []
      const pings: Buffer[] = []
      for (const fragments of messages) {
        for (const [i, { piece: payload, ping }] of fragments.entries()) {
          frames.push(serverFrame(i === 0 ? 2 : 0, payload, i === fragments.length - 1))
          if (ping === null) continue
          frames.push(serverFrame(9, ping))
          pings.push(ping)
        }
      }
      const wire = Buffer.concat(frames)
      const recorder = new Recorder()
      const stream = new WebSocketStream(recorder, 100_000)
      for (let at = 0; at < wire.length; at += step)
        stream.receive(wire, at, Math.min(wire.length, at + step))
      const expected = messages.flat().map((fragment) => fragment.piece)
      expect(recorder.received.equals(Buffer.concat(expected))).toBe(true)
      expect(readClientFrames(Buffer.concat(recorder.replies)).map((pong) => pong.payload)).toEqual(pings)
      expect(recorder.violation).toBeUndefined()
    }),
    { numRuns: 200 },
  )
})

test('a close is answered with its code, and bytes after it are ignored', () => {
  const close = serverFrame(8, Buffer.concat([Buffer.from([0x03, 0xf0]), Buffer.from('no')]))
  const recorder = receive(close, serverFrame(2, Buffer.from('late')))
  expect(recorder.closed).toEqual([1008, 'no'])
  expect(readClientFrames(Buffer.concat(recorder.replies))).toEqual([
    { opcode: 8, payload: Buffer.from([0x03, 0xf0]) },
  ])
  expect(recorder.received.length).toBe(0)
  expect(receive(serverFrame(8, new Uint8Array(0))).closed).toEqual([1005, ''])
})

test.each([
  ['a text message', serverFrame(1, Buffer.from('hi')), 1003],
  ['a masked frame', Buffer.from('828137fa213d7f', 'hex'), 1002],
  ['a reserved bit', Buffer.from('c20100', 'hex'), 1002],
  ['a fragmented ping', serverFrame(9, new Uint8Array(0), false), 1002],
  ['a ping of 126 bytes', serverFrame(9, new Uint8Array(126)), 1002],
  ['a continuation of nothing', serverFrame(0, Buffer.from('x')), 1002],
  [
    'a message within a message',
    Buffer.concat([serverFrame(2, Buffer.from('x'), false), serverFrame(2, Buffer.from('y'))]),
    1002,
  ],
  ['an unknown control frame', serverFrame(11, new Uint8Array(0)), 1002],
  ['an unknown data frame', serverFrame(3, Buffer.from('x')), 1002],
  [
    'a message over the limit',
    Buffer.concat([serverFrame(2, Buffer.alloc(90_000), false), serverFrame(0, Buffer.alloc(10_001))]),
    1009,
  ],
])('%s ends the stream', (_name, bytes, code) => {
  const recorder = receive(bytes, serverFrame(2, Buffer.from('late')))
  expect(recorder.violation).toMatch(/^the server sent /)
  const [close] = readClientFrames(Buffer.concat(recorder.replies))
  expect([close?.opcode, close?.payload.readUInt16BE(0)]).toEqual([8, code])
  expect(recorder.received.toString()).not.toContain('late')
})
