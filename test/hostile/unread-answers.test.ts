// Attack: HTTP requests one behind the other, as fast as they are taken, whose answers nobody reads.
// Stage: HTTP, before any login; TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB for all; no descriptor.
// Offender: not read any further while an answer waits: what is taken of it fits the system's own buffers.

import { expect } from 'vitest'
import { attack, many, scaled, type Stage } from './attack.ts'
import { Intruder } from './intruder.ts'
import type { Target } from './target.ts'

const ATTACK_MS = 3_000
/** What Linux keeps for one connection of loopback in both directions, at most. */
const SYSTEM_BYTES_MAX = 16 * 1_048_576
const REQUESTS = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(400))

async function askOn(target: Target, stage: Stage): Promise<void> {
  const taken = await many(scaled(30, 6), async () => {
    const liar = stage.keep(await Intruder.enter(target))
    liar.stopReading()
    return await liar.flood(REQUESTS, ATTACK_MS)
  })
  expect(Math.max(...taken), 'bytes that were taken of one').toBeLessThan(SYSTEM_BYTES_MAX)
}

const memoryMiB = { during: 32, after: 32 }
attack('answers that nobody reads', { memoryMiB, run: askOn })
attack('answers that nobody reads on a plain port', { door: 'plain', memoryMiB, run: askOn })
