// How long a packet takes from one relay thread to another, through shared memory: written, published, given to the
// reader's sink. Writer and reader alternate in one thread, so that this is the work of both, without the waiting and
// waking that two threads add.

import { expect, test } from 'vitest'
import { forwardPacketFrame } from '#protocol/frames.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { RingReader, RingWriter, ringMemory, type RingSink } from '#interthread/ring.ts'
import { Wakeup } from '#interthread/wakeup.ts'
import { measure, perOperation } from './per-operation.ts'

const ROUNDS = 30

class Counting implements RingSink {
  frames = 0

  onFrame(): void {
    this.frames++
  }
}

/** Batches of packets, each written, published and read. */
function transfer(packetBytes: number, batch: number): () => void {
  const memory = ringMemory()
  const [writer, reader, sink] = [new RingWriter(memory), new RingReader(memory), new Counting()]
  const keys = [new Uint8Array(KEY_BYTES).fill(7), new Uint8Array(KEY_BYTES).fill(8)] as const
  const frame = Buffer.from(forwardPacketFrame(...keys, new Uint8Array(packetBytes)))
  const pass = (): void => {
    for (let round = 0; round < ROUNDS; round++) {
      for (let at = 0; at < batch; at++) {
        const place = writer.reserve(frame.length)
        if (place < 0) throw new Error('a batch fits')
        frame.copy(writer.bytes, place)
        writer.publish()
      }
      reader.drain(sink)
    }
  }
  pass()
  expect(sink.frames).toBe(ROUNDS * batch)
  return pass
}

test('ring between threads', async ({ bench }) => {
  const wakeup = new Wakeup(Wakeup.memory())
  const wakeAll = (): void => {
    for (let at = 0; at < 1_000; at++) wakeup.wake()
  }
  await measure(
    bench('1,420 B, 44 at once', perOperation(ROUNDS * 44, transfer(1_420, 44))),
    bench('1,420 B, one at a time', perOperation(ROUNDS, transfer(1_420, 1))),
    bench('128 B, 44 at once', perOperation(ROUNDS * 44, transfer(128, 44))),
    bench('128 B, one at a time', perOperation(ROUNDS, transfer(128, 1))),
    bench('a wake while no thread waits', perOperation(1_000, wakeAll)),
  )
})
