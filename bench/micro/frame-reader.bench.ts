// How long the frame reader takes for one frame of SendPacket, apart from what is done with it.
//
//   whole     frames lie in the chunk as they are: 44 of 1,420 B fill 64 KiB, sixteen of 128 B a coalesced record
//   16 KiB    the same stream in full TLS records: one frame in eleven is carried from one chunk to the next
//   1,000 B   every frame crosses chunks, so every byte is copied once

import { expect, test } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, FrameAction, type FrameSink } from '#protocol/frame-reader.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { measure, perOperation } from './per-operation.ts'

class Counting implements FrameSink {
  frames = 0
  bytes = 0

  onHeader(): FrameAction {
    return FrameAction.accept
  }

  onFrame(_type: number, _buffer: Buffer, start: number, end: number): boolean {
    this.frames++
    this.bytes += end - start
    return true
  }
}

/** A stream of frames, cut into chunks of a size, read over and over. */
function reading(frameCount: number, packetBytes: number, chunkBytes: number): () => void {
  const frame = sendPacketFrame(new Uint8Array(KEY_BYTES).fill(7), new Uint8Array(packetBytes))
  const stream = Buffer.concat(Array.from({ length: frameCount }, () => frame))
  const sink = new Counting()
  const reader = new FrameReader(sink, new BufferPool())
  const read = (): void => {
    for (let at = 0; at < stream.length; at += chunkBytes) {
      reader.feed(stream, at, Math.min(at + chunkBytes, stream.length))
    }
  }
  read()
  expect(sink.frames).toBe(frameCount)
  expect(sink.bytes).toBe(frameCount * (KEY_BYTES + packetBytes))
  return read
}

test('frame reader', async ({ bench }) => {
  await measure(
    bench('1,420 B, whole, 44 in a chunk', perOperation(44 * 44, reading(44 * 44, 1_420, 44 * 1_457))),
    bench('1,420 B, whole, one in a chunk', perOperation(2_000, reading(2_000, 1_420, 1_457))),
    bench('1,420 B, chunks of 16 KiB', perOperation(2_000, reading(2_000, 1_420, 16_384))),
    bench('1,420 B, chunks of 1,000 B', perOperation(2_000, reading(2_000, 1_420, 1_000))),
    bench('128 B, whole, 16 in a chunk', perOperation(4_096, reading(4_096, 128, 16 * 165))),
    bench('128 B, chunks of 100 B', perOperation(4_096, reading(4_096, 128, 100))),
  )
})
