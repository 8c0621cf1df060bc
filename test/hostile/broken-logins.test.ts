// Attack: malformed logins: another frame, too short, too long, the zero key, a box for another key, no JSON, an invalid name, an
// invalid mesh key, garbage instead of frames.
// Stage: login, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 48 MiB during the attack and after it; no descriptor.
// Offender: closed at once, each for its own reason.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { pingFrame } from '#protocol/frames.ts'
import { frame } from '#protocol/handshake.ts'
import { attack, COUNTED_WITHIN, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'
import type { Target } from './target.ts'

/** ClientInfo with this text in its box. */
function clientInfoWith(target: Target, text: string): Uint8Array {
  const key = newKeyPair()
  const box = new BoxSecret(key.privateKey).agree(target.serverKey)
  if (box === undefined) throw new Error('no box')
  return frame(FrameType.clientInfo, key.publicKey, box.seal(randomBytes(24), Buffer.from(text)))
}

/** Frames by the reason for which each is refused. */
function malformedLogins(target: Target): Record<string, readonly Uint8Array[]> {
  const header = (hex: string): Uint8Array => Buffer.from(hex, 'hex')
  return {
    client_info_expected: [pingFrame(randomBytes(8)), randomBytes(64).fill(0x47, 0, 1)],
    client_info_length: [header('0200000037'), header('0200040001'), header('02ffffffff')],
    key_zero: [frame(FrameType.clientInfo, new Uint8Array(32), randomBytes(100))],
    box_refused: [
      frame(FrameType.clientInfo, newKeyPair().publicKey, randomBytes(24)),
      frame(FrameType.clientInfo, newKeyPair().publicKey, randomBytes(262_144 - 32)),
    ],
    client_info_json: [
      clientInfoWith(target, ''),
      clientInfoWith(target, '[]'),
      clientInfoWith(target, '{"version":"two"}'),
    ],
    app_name_invalid: [clientInfoWith(target, JSON.stringify({ AppName: 'x'.repeat(33) }))],
    mesh_key_syntax: [clientInfoWith(target, '{"meshKey":"00"}'), clientInfoWith(target, '{"meshKey":7}')],
  }
}

attack('malformed logins', {
  memoryMiB: { during: 48, after: 48 },
  run: async (target, context) => {
    const expected = new Map<string, number>()
    const attempts = UPGRADES.flatMap((kind) =>
      Object.entries(malformedLogins(target)).flatMap(([reason, frames]) =>
        frames.map((bytes) => ({ kind, reason, bytes })),
      ),
    )
    for (let round = 0; round < scaled(30); round++) {
      for (const { kind, reason, bytes } of attempts) {
        const offender = context.keep(await Intruder.openDerp(target, kind))
        await offender.send(bytes)
        expect(await offender.ended(2_000), `${reason}, ${kind}`).toBe(true)
        expected.set(reason, (expected.get(reason) ?? 0) + 1)
      }
    }
    for (const [reason, count] of expected) {
      await expect
        .poll(async () => await target.ended(reason), { ...COUNTED_WITHIN, message: reason })
        .toBe(count)
    }
  },
})
