// Attack: thousands of clients that have logged in end in one moment; and others that come back at once, again and again.
// Stage: session.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 64 KiB for each while it is there, and 40 MiB; 32 KiB for each afterwards, which the allocator keeps for those who
// come next, so that a second and a third wave take no more; back to the descriptors before.
// Offender: gone; every one of them is counted as ended, and nothing is left.

import { expect } from 'vitest'
import { waitUntil } from '../support/process.ts'
import { attack, many, scaled, type Stage } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'
import type { Target } from './target.ts'

const COUNT = scaled(5_000, 200)
const boundMiB = 40 + COUNT / 16

attack(`${COUNT} clients that end at once`, {
  memoryMiB: { during: boundMiB, after: 40 + COUNT / 32 },
  run: async (target, stage) => {
    for (let waves = 0; waves < 3; waves++) await comeAndGo(target, stage)
  },
})

async function comeAndGo(target: Target, stage: Stage): Promise<void> {
  const before = await target.count('derp_sessions_current')
  const clients = await many(COUNT, async (at) => stage.keep(await Intruder.logIn(target, WAYS[at % 3])))
  expect(clients.filter(({ end }) => end !== undefined)).toEqual([])
  for (const [at, client] of clients.entries()) {
    if (at % 2 === 0) client.reset()
    else client.socket.destroy()
  }
  await waitUntil(
    'all have been seen to end',
    async () => (await target.count('derp_sessions_current')) <= before + 1,
    10_000,
  )
}

attack('clients that come back at once', {
  memoryMiB: { during: 40, after: 40 },
  run: async (target, stage) => {
    const untilMs = performance.now() + 3_000
    const before = await target.count('derp_logins_total')
    let logins = 0
    await Promise.all(
      Array.from({ length: scaled(200, 20) }, async (_, at) => {
        while (performance.now() < untilMs) {
          const client = stage.keep(await Intruder.logIn(target, WAYS[at % 3]))
          logins++
          client.reset()
        }
      }),
    )
    expect((await target.count('derp_logins_total')) - before).toBeGreaterThanOrEqual(logins)
  },
})
