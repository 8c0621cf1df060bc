// Attack: clients without the mesh key send the frames of siblings: to watch, to forward, to close others.
// Stage: mesh, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet; the frames close no client and deliver nothing.
// Bound: 48 MiB during the attack and after it; no descriptor.
// Offender: closed at once (not_privileged).

import { expect } from 'vitest'
import { closePeerFrame, forwardPacketFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { attack, COUNTED_WITHIN, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

attack('siblings without a mesh key', {
  memoryMiB: { during: 48, after: 48 },
  run: async (target, context) => {
    const key = newKeyPair()
    const victim = context.keep(await Intruder.logIn(target, 'raw', { key }))
    const before = victim.receivedBytes
    const frames = [
      WATCH_CONNS_FRAME,
      closePeerFrame(key.publicKey),
      forwardPacketFrame(newKeyPair().publicKey, key.publicKey, Buffer.from('false')),
    ]
    let offenderCount = 0
    for (let round = 0; round < scaled(50); round++) {
      for (const kind of UPGRADES) {
        for (const frame of frames) {
          // The all-zero mesh key does not make it a sibling.
          const info = { meshKey: new Uint8Array(32) }
          const offender = context.keep(await Intruder.logIn(target, kind, { info }))
          const receivedBefore = offender.receivedBytes
          await offender.send(frame)
          expect(await offender.ended(2_000), kind).toBe(true)
          // A WebSocket's close frame is four bytes. No presence frame is sent.
          expect(offender.receivedBytes - receivedBefore, kind).toBeLessThanOrEqual(
            kind === 'WebSocket' ? 64 : 0,
          )
          offenderCount++
        }
      }
    }
    await expect.poll(async () => await target.ended('not_privileged'), COUNTED_WITHIN).toBe(offenderCount)
    expect(await target.ended('closed_by_sibling')).toBe(0)
    expect(victim.end).toBeUndefined()
    expect(victim.receivedBytes).toBe(before)
  },
})
