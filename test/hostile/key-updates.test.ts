// Attack: TLS 1.3 KeyUpdate messages without end from a client that reads nothing: each costs the relay two new keys and
// an answer. And records without content.
// Stage: TLS, before the HTTP head.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 64 MiB while it lasts, 48 after; no descriptor.
// Offender: closed soon; what was taken of it by then is some hundred kilobytes at most.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { Tls13Client } from '../support/tls13-client.ts'
import { attack, scaled, type Stage } from './attack.ts'
import type { Target } from './target.ts'

const IN_ONE_WRITE = 50
const ATTACK_MS = 3_000
const CONNECTIONS = 4
/** Sent by each, or the end comes first. */
const TAKEN_BYTES_MAX = 1_048_576

async function flood(
  target: Target,
  stage: Stage,
  write: (client: Tls13Client, count: number) => void,
): Promise<void> {
  const one = async (): Promise<{ takenBytes: number; isEnded: boolean }> => {
    const client = stage.keep(await Tls13Client.connect(target.port))
    client.socket.pause()
    const untilMs = performance.now() + ATTACK_MS
    while (!client.isEnded && performance.now() < untilMs) {
      // Only what is taken counts: nothing piles up on this side.
      if (client.socket.writableLength < 65_536) write(client, IN_ONE_WRITE)
      await sleep(1)
    }
    const takenBytes = client.socket.bytesWritten - client.socket.writableLength
    client.socket.resume()
    for (let waits = 0; waits < 20 && !client.isEnded; waits++) await sleep(50)
    return { takenBytes, isEnded: client.isEnded }
  }
  for (let round = 0; round < scaled(5); round++) {
    const offenders = await Promise.all(Array.from({ length: CONNECTIONS }, one))
    for (const { takenBytes, isEnded } of offenders) {
      expect(isEnded, 'an offender is closed').toBe(true)
      expect(takenBytes, 'bytes that were taken').toBeLessThan(TAKEN_BYTES_MAX)
    }
  }
}

const memoryMiB = { during: 64, after: 48 }
attack('KeyUpdates without end', {
  memoryMiB,
  run: async (target, stage) => await flood(target, stage, (client, count) => client.updateKeys(count)),
})
attack('TLS records without content', {
  memoryMiB,
  run: async (target, stage) => await flood(target, stage, (client, count) => client.sayNothing(count)),
})
