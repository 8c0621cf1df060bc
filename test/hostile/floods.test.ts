// Attack: pings whose answers nobody reads, frames of unknown types, and packets to nobody, as fast as they are taken.
// Stage: session, in every way in; TLS.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 40 MiB for all, whatever was said; no descriptor.
// Offender: kept and heard, or closed because it does not take what it is owed; never more than its share.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

const ATTACK_MS = 1_500
const unknown = Buffer.alloc(5 + 1_000, 0x55)
unknown.writeUInt32BE(1_000, 1)
const toNobody = sendPacketFrame(newKeyPair().publicKey, randomBytes(1_200))

const FLOODS = {
  'pings whose pongs nobody reads': pingFrame(randomBytes(8)),
  'long pings whose pongs nobody reads': pingFrame(randomBytes(1_000)),
  'frames of unknown types': unknown,
  'packets to nobody, whose answers nobody reads': toNobody,
}

for (const [title, frame] of Object.entries(FLOODS)) {
  const bytes = Buffer.concat(Array.from({ length: Math.ceil(30_000 / frame.length) }, () => frame))
  attack(title, {
    memoryMiB: { during: 40, after: 40 },
    run: async (target, stage) => {
      const liars = await many(scaled(60, 6), async (at) => {
        const liar = stage.keep(await Intruder.logIn(target, WAYS[at % 3]))
        liar.stopReading()
        await liar.flood(bytes, ATTACK_MS)
        return liar
      })
      const ended = liars.filter(({ end }) => end !== undefined).length
      const reasons = await Promise.all(
        ['write_stalled', 'control_overflow'].map(async (one) => await target.ended(one)),
      )
      expect(
        reasons.reduce((sum, count) => sum + count, 0),
        'ends, each for a reason',
      ).toBeGreaterThanOrEqual(ended)
    },
  })
}
