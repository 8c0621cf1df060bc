// Attack: WebSocket frames that violate RFC 6455: without a mask, of text, too long, with false lengths, fragmented control
// frames, continuations without a beginning, reserved bits.
// Stage: login and session, by WebSocket.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; no descriptor.
// Offender: gets a close frame with the reason, and is closed.

import { expect } from 'vitest'
import { attack, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

/** A frame in hex, and the close code for it. */
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
  // Fragments that are too long together, and a message that begins before the last one has ended.
  [`02fe4e2000000000${'00'.repeat(20_000)}80fe4e2000000000`, 1_009],
  ['028000000000028000000000', 1_002],
]

attack('malformed WebSocket messages', {
  memoryMiB: { during: 32, after: 32 },
  run: async (target, context) => {
    for (let round = 0; round < scaled(20); round++) {
      for (const [frame, code] of FRAMES) {
        const isLoggedIn = round % 2 === 1 || code === 1_009
        const offender = context.keep(
          isLoggedIn
            ? await Intruder.logIn(target, 'WebSocket')
            : await Intruder.openDerp(target, 'WebSocket'),
        )
        await offender.sendRaw(Buffer.from(frame, 'hex'))
        expect(await offender.ended(3_000), `${frame.slice(0, 30)} ends`).toBe(true)
        const close = Buffer.from([0x88, 0x02, code >> 8, code & 0xff]).toString('hex')
        if (offender.end === 'fin')
          expect(offender.received.toString('hex'), frame.slice(0, 30)).toContain(close)
      }
    }
  },
})
