// Attack: endless TLS 1.3 KeyUpdate messages from a client that reads nothing: each costs the relay two new keys and an answer.
// And endless records without content.
// Stage: TLS, before the HTTP head.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 64 MiB during the attack, 48 MiB after it; no descriptor.
// Offender: closed soon, after some hundred kilobytes at most.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { Tls13Client } from '../support/tls13-client.ts'
import { attack, scaled, type AttackContext } from './attack.ts'
import type { Target } from './target.ts'

const IN_ONE_WRITE = 50
const ATTACK_MS = 3_000
const CONNECTIONS = 4
/** A connection is closed before it has sent so much. */
const TAKEN_BYTES_MAX = 1_048_576

async function flood(
  target: Target,
  context: AttackContext,
  write: (client: Tls13Client, count: number) => void,
): Promise<void> {
  const floodOnce = async (): Promise<{ takenBytes: number; isEnded: boolean }> => {
    const client = context.keep(await Tls13Client.connect(target.port))
    client.socket.pause()
    const untilMs = performance.now() + ATTACK_MS
    while (!client.isEnded && performance.now() < untilMs) {
      // Nothing piles up on this side: only bytes that the system has taken count.
      if (client.socket.writableLength < 65_536) write(client, IN_ONE_WRITE)
      await sleep(1)
    }
    const takenBytes = client.socket.bytesWritten - client.socket.writableLength
    client.socket.resume()
    for (let waits = 0; waits < 20 && !client.isEnded; waits++) await sleep(50)
    return { takenBytes, isEnded: client.isEnded }
  }
  for (let round = 0; round < scaled(5); round++) {
    const offenders = await Promise.all(Array.from({ length: CONNECTIONS }, floodOnce))
    for (const { takenBytes, isEnded } of offenders) {
      expect(isEnded, 'the offender is closed').toBe(true)
      expect(takenBytes, 'bytes taken of it').toBeLessThan(TAKEN_BYTES_MAX)
    }
  }
}

const memoryMiB = { during: 64, after: 48 }
attack('endless KeyUpdates', {
  memoryMiB,
  run: async (target, context) =>
    await flood(target, context, (client, count) => client.sendKeyUpdates(count)),
})
attack('endless TLS records without content', {
  memoryMiB,
  run: async (target, context) =>
    await flood(target, context, (client, count) => client.sendEmptyRecords(count)),
})
