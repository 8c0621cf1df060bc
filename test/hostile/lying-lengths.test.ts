// Attack: frames whose lengths lie: too short, too long, promised and never sent, 4 GiB.
// Stage: session, in every way in, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet; the pair that has nothing to do with it stays.
// Bound: nothing is kept for what is only promised: 16 MiB while it lasts and after; no descriptor.
// Offender: closed at once, for the reason of its own frame; one whose frame is possible and never comes is kept, for
// nothing but its session.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, scaled, type Stage } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'
import type { Target } from './target.ts'

/** A header alone: type, length; and what becomes of it. */
const LIES: readonly (readonly [header: string, reason: string])[] = [
  ['040000001f', 'send_packet_length'],
  ['0400010021', 'send_packet_length'],
  ['04ffffffff', 'send_packet_length'],
  ['0700000000', 'note_preferred_length'],
  ['07000000ff', 'note_preferred_length'],
  ['1200000007', 'ping_length'],
  ['12000003e9', 'ping_length'],
  ['1000000001', 'watch_conns_length'],
  ['1100000021', 'close_peer_length'],
  ['ff00010021', 'unknown_frame_length'],
  ['ffffffffff', 'unknown_frame_length'],
  ['0a00000000', 'not_privileged'],
]

async function lie(target: Target, stage: Stage): Promise<void> {
  for (let round = 0; round < scaled(20); round++) {
    for (const way of WAYS) {
      const expected = new Map<string, number>()
      for (const [header, reason] of LIES) {
        expected.set(reason, (expected.get(reason) ?? (await target.ended(reason))) + 1)
        const liar = stage.keep(await Intruder.logIn(target, way))
        await liar.say(Buffer.from(header, 'hex'))
        expect(await liar.ended(2_000), `${header}, ${way}`).toBe(true)
      }
      for (const [reason, count] of expected) {
        await expect
          .poll(async () => await target.ended(reason), { ...COUNTED_WITHIN, message: reason })
          .toBe(count)
      }
    }
  }
  const promising = await Promise.all(
    Array.from({ length: scaled(1_000) }, async (_, at) => {
      const liar = stage.keep(await Intruder.logIn(target, WAYS[at % WAYS.length]))
      await liar.say(Buffer.from('0400010020', 'hex'))
      return liar
    }),
  )
  expect(promising.every((liar) => liar.end === undefined)).toBe(true)
}

const memoryMiB = { during: 64, after: 64 }
attack('lying lengths', { memoryMiB, run: lie })
attack('lying lengths on a plain port', { door: 'plain', memoryMiB, run: lie })
