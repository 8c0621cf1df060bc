// Attack: a client without the mesh key watches, forwards and closes others.
// Stage: mesh, in every way in.
// Promise: a good client logs in within 2 s and sends a packet; nobody is closed and nothing is delivered by them.
// Bound: 32 MiB while it lasts and after; no descriptor.
// Offender: closed at once (not_privileged).

import { expect } from 'vitest'
import { closePeerFrame, forwardPacketFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { attack, COUNTED_WITHIN, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

attack('siblings without a mesh key', {
  memoryMiB: { during: 48, after: 48 },
  run: async (target, stage) => {
    const key = newKeyPair()
    const victim = stage.keep(await Intruder.logIn(target, 'upgrade', { key }))
    const before = victim.receivedBytes
    const frames = [
      WATCH_CONNS_FRAME,
      closePeerFrame(key.publicKey),
      forwardPacketFrame(newKeyPair().publicKey, key.publicKey, Buffer.from('false')),
    ]
    let liars = 0
    for (let round = 0; round < scaled(50); round++) {
      for (const way of WAYS) {
        for (const frame of frames) {
          // That it claims the zero mesh key makes it no sibling.
          const info = { meshKey: new Uint8Array(32) }
          const liar = stage.keep(await Intruder.logIn(target, way, { info }))
          const heard = liar.receivedBytes
          await liar.say(frame)
          expect(await liar.ended(2_000), way).toBe(true)
          // A WebSocket's close is four bytes; no news of anybody.
          expect(liar.receivedBytes - heard, way).toBeLessThanOrEqual(way === 'WebSocket' ? 64 : 0)
          liars++
        }
      }
    }
    await expect.poll(async () => await target.ended('not_privileged'), COUNTED_WITHIN).toBe(liars)
    expect(await target.ended('closed_by_sibling')).toBe(0)
    expect(victim.end).toBeUndefined()
    expect(victim.receivedBytes).toBe(before)
  },
})
