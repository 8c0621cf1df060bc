// Attack: a hundred clients send to a client that reads nothing.
// Stage: session, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 48 MiB, which includes the outbox of one client; no descriptor.
// Offender: the receiver is closed (write_stalled) when it has read nothing for two seconds; the senders stay connected.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { waitUntil } from '../support/process.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const ATTACK_MS = 3_000

attack('a receiver that reads nothing', {
  memoryMiB: { during: 48, after: 48 },
  run: async (target, context) => {
    const key = newKeyPair()
    const receivers = await Promise.all(
      UPGRADES.map(async (kind) => {
        const receiver = context.keep(
          await Intruder.logIn(target, kind, { key: kind === 'raw' ? key : newKeyPair() }),
        )
        receiver.stopReading()
        return receiver
      }),
    )
    const packets = Buffer.concat(
      Array.from({ length: 20 }, () => sendPacketFrame(key.publicKey, randomBytes(1_400))),
    )
    const senders = await many(scaled(100, 16), async (at) => {
      const sender = context.keep(await Intruder.logIn(target, UPGRADES[at % 3]))
      await sender.flood(packets, ATTACK_MS)
      return sender
    })
    await waitUntil('the receiver is closed', async () => (await target.ended('write_stalled')) === 1, 10_000)
    expect(senders.filter(({ end }) => end !== undefined)).toEqual([])
    // Nothing was sent to the other two.
    expect(receivers.slice(1).filter(({ end }) => end !== undefined)).toEqual([])
    expect(await target.count('derp_dropped_packets_total', 'reason="queue_head"')).toBeGreaterThan(0)
  },
})
