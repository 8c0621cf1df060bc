// Attack: hundreds of connections with one key, which all send to that key and end at once.
// Stage: session, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 64 KiB for each connection, and 40 MiB, besides what Node's sockets take; back to the descriptors before.
// Offender: kept, counted as one key; nothing is left of it when it is gone.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { notePreferredFrame, sendPacketFrame } from '#protocol/frames.ts'
import { waitUntil } from '../support/process.ts'
import { attack, publicSocketsMiB, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const COUNT = scaled(500)
const boundMiB = 40 + COUNT / 16 + publicSocketsMiB(COUNT)

attack(`${COUNT} connections with one key`, {
  memoryMiB: { during: boundMiB, after: boundMiB },
  run: async (target, context) => {
    const key = newKeyPair()
    const before = await target.count('derp_keys_current')
    const intruders = await many(COUNT, async (at) => {
      const intruder = context.keep(await Intruder.logIn(target, UPGRADES[at % 3], { key }))
      await intruder.send(notePreferredFrame(at % 2 === 0))
      return intruder
    })
    await waitUntil(
      'all sessions have one key',
      async () =>
        (await target.count('derp_duplicate_sessions_current')) === COUNT &&
        (await target.count('derp_duplicate_keys_current')) === 1,
      10_000,
    )
    const packets = sendPacketFrame(key.publicKey, randomBytes(1_200))
    await Promise.all(intruders.map(async (intruder) => await intruder.flood(packets, 1_500)))
    for (const intruder of intruders) intruder.reset()
    await waitUntil(
      'they are gone',
      async () => (await target.count('derp_duplicate_sessions_current')) === 0,
      10_000,
    )
    // A bystander's login may be in progress.
    expect(await target.count('derp_keys_current')).toBeLessThanOrEqual(before + 1)
  },
})
