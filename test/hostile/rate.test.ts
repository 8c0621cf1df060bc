// Attack: a client that sends as fast as it is read, many times faster than its rate limit.
// Stage: session, with every kind of upgrade, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 24 MiB; no descriptor.
// Offender: kept, and read no faster than its rate and its burst allow. More is taken only by the system's buffers.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { attack, type AttackContext } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'
import type { Target } from './target.ts'

const BYTES_PER_SECOND = 100_000
const BURST_BYTES = 200_000
const ATTACK_MS = 4_000
/** Bytes of the bystanders, and bytes that were read before the limit took effect. */
const OTHER_BYTES = 1_048_576

async function send(target: Target, context: AttackContext): Promise<void> {
  const before = await target.count('derp_received_bytes_total')
  const startMs = performance.now()
  const ends = await Promise.all(
    UPGRADES.map(async (kind) => {
      const sender = context.keep(await Intruder.logIn(target, kind))
      await sender.flood(sendPacketFrame(newKeyPair().publicKey, randomBytes(60_000)), ATTACK_MS)
      return sender.end
    }),
  )
  const seconds = (performance.now() - startMs) / 1_000
  const taken = (await target.count('derp_received_bytes_total')) - before
  expect(taken).toBeLessThan(UPGRADES.length * (BURST_BYTES + BYTES_PER_SECOND * (seconds + 1)) + OTHER_BYTES)
  expect(ends, 'senders stay connected').toEqual(UPGRADES.map(() => undefined))
}

const plan = {
  memoryMiB: { during: 24, after: 24 },
  args: (folder: { write(name: string, text: string): string }) => {
    const limits = { PerClientRateLimitBytesPerSec: BYTES_PER_SECOND, PerClientRateBurstBytes: BURST_BYTES }
    return ['-rate-config', folder.write('rate.json', JSON.stringify(limits))]
  },
  run: send,
}
attack('a sender beyond its rate', plan)
attack('a sender beyond its rate on a plain port', { ...plan, portKind: 'plain' })
