// Attack: logins of 256 KiB, the largest, of which all but the last byte is said.
// Stage: login, in every way in.
// Promise: a good client logs in within 2 s and sends a packet; a login of that size is read where it is whole.
// Bound: what was said, and half as much again: 40 MiB and 384 KiB for each; no descriptor.
// Offender: kept until its time to log in is over, or closed for others who come.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

const COUNT = scaled(300)
const LOGIN_BYTES = 262_144
const boundMiB = 40 + (COUNT * 384) / 1_024

attack(`${COUNT} logins of 256 KiB held open`, {
  memoryMiB: { during: boundMiB, after: boundMiB },
  run: async (target, stage) => {
    const almost = Buffer.alloc(5 + LOGIN_BYTES - 1, 1)
    almost[0] = 2
    almost.writeUInt32BE(LOGIN_BYTES, 1)
    const liars = await many(COUNT, async (at) => {
      const liar = stage.keep(await Intruder.open(target, WAYS[at % 3]))
      await liar.say(almost)
      return liar
    })
    const before = await target.ended('box_refused')
    const first = liars.find(({ end }) => end === undefined)
    await first?.say(Buffer.alloc(1))
    expect(await first?.ended(3_000)).not.toBe(false)
    const more = first === undefined ? 0 : 1
    await expect.poll(async () => (await target.ended('box_refused')) - before, COUNTED_WITHIN).toBe(more)
  },
})
