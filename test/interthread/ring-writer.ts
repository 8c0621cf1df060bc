// A thread that writes numbered frames into a ring as fast as there is room, for a test that reads them in another
// thread. Wakes the reader once for each run of frames, as a relay thread does at the end of its turn.

import { workerData } from 'node:worker_threads'
import { RingWriter } from '#interthread/ring.ts'
import { Wakeup } from '#interthread/wakeup.ts'

export interface RingWriterData {
  readonly memory: SharedArrayBuffer
  readonly wakeup: SharedArrayBuffer
  readonly frames: number
}

/** Sizes vary, so that frames lie across the ring's end in many ways. */
export function payloadBytesOf(frame: number): number {
  return 4 + ((frame * 7_919) % 3_001)
}

function writeAll({ memory, wakeup: wakeupMemory, frames }: RingWriterData): void {
  const [writer, wakeup] = [new RingWriter(memory), new Wakeup(wakeupMemory)]
  const frame = Buffer.alloc(5 + 4 + 3_001)
  for (let n = 0; n < frames; n++) {
    const payloadBytes = payloadBytesOf(n)
    frame.fill(n & 0xff, 5)
    frame.writeUInt32BE(payloadBytes, 1)
    frame.writeUInt32BE(n, 5)
    let at = writer.reserve(5 + payloadBytes)
    for (; at < 0; at = writer.reserve(5 + payloadBytes)) wakeup.wake()
    frame.copy(writer.bytes, at, 0, 5 + payloadBytes)
    writer.publish()
    if (n % 16 === 0) wakeup.wake()
  }
  wakeup.wake()
}

// The test imports this file, too, where it must not write.
if (workerData !== null && typeof workerData === 'object' && 'frames' in workerData) {
  writeAll(workerData as RingWriterData)
}
