// Attack: WebSocket pings whose pongs nobody reads, before any login.
// Stage: login, by WebSocket.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB for all; no descriptor.
// Offender: ended for good when its time to log in is over at the latest.

import { expect } from 'vitest'
import { attack, many, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

const ATTACK_MS = 3_000
/** The time for a login, and what a loaded machine adds. */
const ENDED_MS = 15_000
/** Final, of 125 bytes, with the mask of zeros. */
const PINGS = Buffer.concat(
  Array.from({ length: 100 }, () =>
    Buffer.concat([Buffer.from('89fd00000000', 'hex'), Buffer.alloc(125, 0x61)]),
  ),
)

attack('pongs that nobody reads', {
  memoryMiB: { during: 32, after: 32 },
  run: async (target, stage) => {
    const liars = await many(scaled(60, 10), async () => {
      const liar = stage.keep(await Intruder.open(target, 'WebSocket'))
      liar.stopReading()
      const untilMs = performance.now() + ATTACK_MS
      while (performance.now() < untilMs && liar.end === undefined) {
        const late = new Promise((resolve) => setTimeout(resolve, untilMs - performance.now()))
        await Promise.race([liar.sayRaw(PINGS), late])
      }
      return liar
    })
    for (const liar of liars) expect(await liar.ended(ENDED_MS), 'is ended').toBe(true)
  },
})
