// Attack: HTTP requests one behind the other, as fast as they are taken, whose answers are not read.
// Stage: before any login, TLS and plain, and the HTTP port beside TLS.
// Promise: a good client logs in within 2 s and sends a packet; the pair that has nothing to do with it stays.
// Bound: a connection is owed one answer, and what it holds here is one head and one read (80 KiB), all of them together
// 16 MiB; beside that, 32 KiB of TLS each, and 6 MiB. As much after. On the HTTP port, whose connections are the runtime's
// sockets, two more reads of 64 KiB each and 8 MiB of their garbage. Who takes no answer for 30 s is ended.
// Offender: is not read any further, and keeps what it has sent; beyond 16 MiB of all, who has held something the longest
// is ended.

import { expect } from 'vitest'
import { attack, scaled, type Stage } from './attack.ts'
import { Intruder } from './intruder.ts'
import type { Target } from './target.ts'

const REQUESTS = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_000))
const FLOOD_MS = 4_000
/** What the system's buffers take on both sides; requests that were answered beyond that would have had readers. */
const TAKEN_BYTES_MAX = 16_777_216
const COUNT = scaled(600, 60)
/** Connections that may hold 80 KiB each. */
const ALL_HELD_MIN = 200

function run(enter: (target: Target) => Promise<Intruder>) {
  return async (target: Target, stage: Stage): Promise<void> => {
    const askers = await Promise.all(
      Array.from({ length: COUNT }, async () => stage.keep(await enter(target))),
    )
    for (const asker of askers) asker.stopReading()
    const taken = await Promise.all(askers.map(async (asker) => await asker.flood(REQUESTS, FLOOD_MS)))
    expect(Math.max(...taken), 'bytes of requests taken of one').toBeLessThan(TAKEN_BYTES_MAX)
    const ended = askers.filter(({ end }) => end !== undefined).length
    expect(ended, 'ended, that were not the one too many').toBeLessThanOrEqual(
      Math.max(0, COUNT - ALL_HELD_MIN),
    )
  }
}

const boundMiB = 22 + COUNT / 32
const memoryMiB = { during: boundMiB, after: boundMiB }
attack('unread answers', { memoryMiB, run: run(async (target) => await Intruder.enter(target)) })
attack('unread answers on a plain port', {
  memoryMiB,
  door: 'plain',
  run: run(async (target) => await Intruder.enter(target)),
})
attack('unread answers on the HTTP port', {
  memoryMiB: { during: 30 + COUNT / 8, after: 30 + COUNT / 8 },
  run: run(async (target) => await Intruder.knock(target, target.httpPort)),
})
