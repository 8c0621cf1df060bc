// Attack: a client that sends as fast as it is read, many times faster than its rate limit, in every way in, TLS and plain.
// Stage: session.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 24 MiB; no descriptor.
// Offender: kept, and read no faster than its rate and its burst: what is taken of it beyond is what the system holds.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { attack, type Stage } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'
import type { Target } from './target.ts'

const BYTES_PER_SECOND = 100_000
const BURST_BYTES = 200_000
const ATTACK_MS = 4_000
/** The bystander's packets and logins, and what has been read when the limit is met. */
const BESIDE_BYTES = 1_048_576

async function send(target: Target, stage: Stage): Promise<void> {
  const before = await target.count('derp_received_bytes_total')
  const startMs = performance.now()
  const ends = await Promise.all(
    WAYS.map(async (way) => {
      const sender = stage.keep(await Intruder.logIn(target, way))
      await sender.flood(sendPacketFrame(newKeyPair().publicKey, randomBytes(60_000)), ATTACK_MS)
      return sender.end
    }),
  )
  const seconds = (performance.now() - startMs) / 1_000
  const taken = (await target.count('derp_received_bytes_total')) - before
  expect(taken).toBeLessThan(WAYS.length * (BURST_BYTES + BYTES_PER_SECOND * (seconds + 1)) + BESIDE_BYTES)
  expect(ends, 'they stay').toEqual(WAYS.map(() => undefined))
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
attack('a sender beyond its rate on a plain port', { ...plan, door: 'plain' })
