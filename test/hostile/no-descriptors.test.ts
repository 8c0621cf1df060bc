// Attack: more connections than the relay has descriptors.
// Stage: TCP.
// Promise: clients that are connected stay connected; health and metrics are served within 2 s; when the attacker is gone, a good
// client can log in again. During the attack new clients cannot log in.
// Bound: 32 MiB; as many descriptors as the system allows, and back to those before.
// Offender: kept or closed. A connection beyond the limit waits or is closed, and costs the relay next to nothing.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { waitUntil } from '../support/process.ts'
import { attack, many } from './attack.ts'
import { Intruder } from './intruder.ts'

const DESCRIPTORS_MAX = 160
const ATTACK_MS = 2_000

attack('no descriptors left', {
  descriptorsMax: DESCRIPTORS_MAX,
  refusesNewClients: true,
  memoryMiB: { during: 32, after: 32 },
  run: async (target, context) => {
    const connections = await many(2 * DESCRIPTORS_MAX, async () => {
      // A connection beyond the limit may be closed before it is established.
      const intruder = await Intruder.connectTcp(target).catch(() => undefined)
      return intruder && context.keep(intruder)
    })
    const cpuSeconds = target.cpuSeconds
    const startMs = performance.now()
    await sleep(ATTACK_MS)
    const share = (target.cpuSeconds - cpuSeconds) / ((performance.now() - startMs) / 1_000)
    // To accept and close each connection takes more than half of a core; the relay's other work takes a few hundredths.
    expect(share, 'share of a core that the relay uses').toBeLessThan(0.4)
    expect((await target.admin('/livez')).status).toBe(200)
    expect((await target.admin('/metrics')).status).toBe(200)
    expect((await target.admin('/readyz')).status).toBe(503)
    for (const connection of connections) connection?.reset()
    await waitUntil(
      'a good client logs in',
      async () => {
        const client = context.keep(await Intruder.logIn(target))
        client.reset()
        return true
      },
      5_000,
    )
  },
})
