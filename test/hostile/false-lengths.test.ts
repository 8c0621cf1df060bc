// Attack: frames with false lengths: too short, too long, announced but never sent, 4 GiB.
// Stage: session, with every kind of upgrade, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet; the bystanders stay connected.
// Bound: no memory for bytes that are only announced: 64 MiB during the attack and after it; no descriptor.
// Offender: closed at once, for the reason of its frame. One with a valid length whose frame never arrives is kept, at the cost of
// its session only.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, scaled, type AttackContext } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'
import type { Target } from './target.ts'

/** A frame header (type and length) in hex, and the reason for which its session ends. */
const HEADERS: readonly (readonly [header: string, reason: string])[] = [
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

async function sendFalseLengths(target: Target, context: AttackContext): Promise<void> {
  for (let round = 0; round < scaled(20); round++) {
    for (const kind of UPGRADES) {
      const expected = new Map<string, number>()
      for (const [header, reason] of HEADERS) {
        expected.set(reason, (expected.get(reason) ?? (await target.ended(reason))) + 1)
        const offender = context.keep(await Intruder.logIn(target, kind))
        await offender.send(Buffer.from(header, 'hex'))
        expect(await offender.ended(2_000), `${header}, ${kind}`).toBe(true)
      }
      for (const [reason, count] of expected) {
        await expect
          .poll(async () => await target.ended(reason), { ...COUNTED_WITHIN, message: reason })
          .toBe(count)
      }
    }
  }
  const unfinished = await Promise.all(
    Array.from({ length: scaled(1_000) }, async (_, at) => {
      const offender = context.keep(await Intruder.logIn(target, UPGRADES[at % UPGRADES.length]))
      await offender.send(Buffer.from('0400010020', 'hex'))
      return offender
    }),
  )
  expect(unfinished.every((offender) => offender.end === undefined)).toBe(true)
}

const memoryMiB = { during: 64, after: 64 }
attack('false lengths', { memoryMiB, run: sendFalseLengths })
attack('false lengths on a plain port', { portKind: 'plain', memoryMiB, run: sendFalseLengths })
