// Attack: more connections than the relay may have descriptors for.
// Stage: TCP.
// Promise: those who are in stay in; health and metrics are answered within 2 s; when the attacker is gone, a good client
// logs in again. Nobody new can get in meanwhile.
// Bound: 32 MiB; descriptors as many as the system allows, and back.
// Offender: kept, or closed; whoever is too many waits or is closed, and costs the relay next to nothing.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { waitUntil } from '../support/process.ts'
import { attack, many } from './attack.ts'
import { Intruder } from './intruder.ts'

const DESCRIPTORS_MAX = 160
const ATTACK_MS = 2_000

attack('no descriptors left', {
  descriptorsMax: DESCRIPTORS_MAX,
  isClosedToOthers: true,
  memoryMiB: { during: 32, after: 32 },
  run: async (target, stage) => {
    const crowd = await many(2 * DESCRIPTORS_MAX, async () => {
      // Who is too many may be closed before they know that they are in.
      const one = await Intruder.knock(target).catch(() => undefined)
      return one && stage.keep(one)
    })
    const cpuSeconds = target.cpuSeconds
    const startMs = performance.now()
    await sleep(ATTACK_MS)
    const share = (target.cpuSeconds - cpuSeconds) / ((performance.now() - startMs) / 1_000)
    // Accepting in vain takes more than half of a core; the relay's own work here takes a few hundredths.
    expect(share, 'share of a core').toBeLessThan(0.4)
    expect((await target.admin('/livez')).status).toBe(200)
    expect((await target.admin('/metrics')).status).toBe(200)
    expect((await target.admin('/readyz')).status).toBe(503)
    for (const one of crowd) one?.reset()
    await waitUntil(
      'a good client logs in',
      async () => {
        const client = stage.keep(await Intruder.logIn(target))
        client.reset()
        return true
      },
      5_000,
    )
  },
})
