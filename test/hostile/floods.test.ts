// Attack: pings whose answers are not read, frames of unknown types, and packets to unknown keys, as fast as the relay reads them.
// Stage: session, with every kind of upgrade, over TLS.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 40 MiB for all, whatever they send; no descriptor.
// Offender: kept and read, or closed because it does not read its answers; never gets more than its share.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const ATTACK_MS = 1_500
const unknown = Buffer.alloc(5 + 1_000, 0x55)
unknown.writeUInt32BE(1_000, 1)
const toUnknownKey = sendPacketFrame(newKeyPair().publicKey, randomBytes(1_200))

const FLOODS = {
  'pings whose pongs are not read': pingFrame(randomBytes(8)),
  'long pings whose pongs are not read': pingFrame(randomBytes(1_000)),
  'frames of unknown types': unknown,
  'packets to an unknown key, whose answers are not read': toUnknownKey,
}

for (const [title, frame] of Object.entries(FLOODS)) {
  const bytes = Buffer.concat(Array.from({ length: Math.ceil(30_000 / frame.length) }, () => frame))
  attack(title, {
    memoryMiB: { during: 40, after: 40 },
    run: async (target, context) => {
      const offenders = await many(scaled(60, 6), async (at) => {
        const offender = context.keep(await Intruder.logIn(target, UPGRADES[at % 3]))
        offender.stopReading()
        await offender.flood(bytes, ATTACK_MS)
        return offender
      })
      const ended = offenders.filter(({ end }) => end !== undefined).length
      const reasons = await Promise.all(
        ['write_stalled', 'control_overflow'].map(async (reason) => await target.ended(reason)),
      )
      expect(
        reasons.reduce((sum, count) => sum + count, 0),
        'ends with a known reason',
      ).toBeGreaterThanOrEqual(ended)
    },
  })
}
