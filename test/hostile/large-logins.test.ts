// Attack: logins of the largest size, 256 KiB, of which all but the last byte is sent.
// Stage: login, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet; a complete login of that size is read.
// Bound: 1.5 times what was sent: 40 MiB, and 384 KiB for each; no descriptor.
// Offender: kept until its time limit for the login, or closed for later connections.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const COUNT = scaled(300)
const LOGIN_BYTES = 262_144
const boundMiB = 40 + (COUNT * 384) / 1_024

attack(`${COUNT} unfinished logins of 256 KiB`, {
  memoryMiB: { during: boundMiB, after: boundMiB },
  run: async (target, context) => {
    const almost = Buffer.alloc(5 + LOGIN_BYTES - 1, 1)
    almost[0] = 2
    almost.writeUInt32BE(LOGIN_BYTES, 1)
    const offenders = await many(COUNT, async (at) => {
      const offender = context.keep(await Intruder.openDerp(target, UPGRADES[at % 3]))
      await offender.send(almost)
      return offender
    })
    const before = await target.ended('box_refused')
    const first = offenders.find(({ end }) => end === undefined)
    await first?.send(Buffer.alloc(1))
    expect(await first?.ended(3_000)).not.toBe(false)
    const refused = first === undefined ? 0 : 1
    await expect.poll(async () => (await target.ended('box_refused')) - before, COUNTED_WITHIN).toBe(refused)
  },
})
