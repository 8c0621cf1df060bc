// Attack: thousands of clients that have logged in end at the same moment; and clients that reconnect at once, again and again.
// Stage: session.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 40 MiB, and 64 KiB for each client during the attack; afterwards 32 KiB for each, which the allocator keeps for later
// clients, so that a second and a third wave take no more; descriptors as before.
// Offender: gone; every end is counted, and nothing is left.

import { expect } from 'vitest'
import { waitUntil } from '../support/process.ts'
import { attack, many, scaled, type AttackContext } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'
import type { Target } from './target.ts'

const COUNT = scaled(5_000, 200)
const boundMiB = 40 + COUNT / 16

attack(`${COUNT} clients that end at once`, {
  memoryMiB: { during: boundMiB, after: 40 + COUNT / 32 },
  run: async (target, context) => {
    for (let waves = 0; waves < 3; waves++) await connectAndEnd(target, context)
  },
})

async function connectAndEnd(target: Target, context: AttackContext): Promise<void> {
  const before = await target.count('derp_sessions_current')
  const clients = await many(COUNT, async (at) =>
    context.keep(await Intruder.logIn(target, UPGRADES[at % 3])),
  )
  expect(clients.filter(({ end }) => end !== undefined)).toEqual([])
  for (const [at, client] of clients.entries()) {
    if (at % 2 === 0) client.reset()
    else client.socket.destroy()
  }
  await waitUntil(
    'all ends are counted',
    async () => (await target.count('derp_sessions_current')) <= before + 1,
    10_000,
  )
}

attack('clients that reconnect at once', {
  memoryMiB: { during: 40, after: 40 },
  run: async (target, context) => {
    const untilMs = performance.now() + 3_000
    const before = await target.count('derp_logins_total')
    let logins = 0
    await Promise.all(
      Array.from({ length: scaled(200, 20) }, async (_, at) => {
        while (performance.now() < untilMs) {
          const client = context.keep(await Intruder.logIn(target, UPGRADES[at % 3]))
          logins++
          client.reset()
        }
      }),
    )
    expect((await target.count('derp_logins_total')) - before).toBeGreaterThanOrEqual(logins)
  },
})
