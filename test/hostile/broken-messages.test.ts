// Attack: WebSocket frames that break RFC 6455: without a mask, of text, too long, with lengths that lie, control frames in
// pieces, continuations of nothing, reserved bits.
// Stage: login and session, by WebSocket.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; no descriptor.
// Offender: told why in a close frame, and closed.

import { expect } from 'vitest'
import { attack, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

/** A frame, and the code that it is closed with. */
const FRAMES: readonly (readonly [frame: string, code: number])[] = [
  ['820548656c6c6f', 1_002],
  ['818000000000', 1_003],
  ['c28000000000', 1_002],
  ['a28000000000', 1_002],
  ['928000000000', 1_002],
  ['808000000000', 1_002],
  ['838000000000', 1_002],
  ['8b8000000000', 1_002],
  ['098000000000', 1_002],
  ['89fe007e00000000', 1_002],
  ['82ff000000000000800100000000', 1_009],
  ['82ffffffffffffffffff00000000', 1_009],
  ['82ff800000000000000000000000', 1_009],
  // A message in pieces that are too long together, and one begun while another is open.
  [`02fe4e2000000000${'00'.repeat(20_000)}80fe4e2000000000`, 1_009],
  ['028000000000028000000000', 1_002],
]

attack('messages that are none', {
  memoryMiB: { during: 32, after: 32 },
  run: async (target, stage) => {
    for (let round = 0; round < scaled(20); round++) {
      for (const [frame, code] of FRAMES) {
        const isIn = round % 2 === 1 || code === 1_009
        const liar = stage.keep(
          isIn ? await Intruder.logIn(target, 'WebSocket') : await Intruder.open(target, 'WebSocket'),
        )
        await liar.sayRaw(Buffer.from(frame, 'hex'))
        expect(await liar.ended(3_000), `${frame.slice(0, 30)} ends`).toBe(true)
        const close = Buffer.from([0x88, 0x02, code >> 8, code & 0xff]).toString('hex')
        if (liar.end === 'fin') expect(liar.received.toString('hex'), frame.slice(0, 30)).toContain(close)
      }
    }
  },
})
