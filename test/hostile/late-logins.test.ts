// Attack: sessions on which nothing is said, half a login, or a login byte by byte, without end.
// Stage: login, in every way in.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 24 MiB, and what was said of each login; no descriptor.
// Offender: ended (login_timeout) ten seconds after its session began, and no more than a second or two later.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

const LOGIN_MS = 10_000
/** A relay that is not on time on a loaded machine is late by its sweeps, not by seconds. */
const LATE_MS_MAX = 3_000

attack('logins that never end', {
  memoryMiB: { during: 40, after: 40 },
  run: async (target, stage) => {
    const before = await target.ended('login_timeout')
    const count = 9 * scaled(50)
    const lates = await many(count, async (at) => {
      const liar = stage.keep(await Intruder.open(target, WAYS[at % 3]))
      const sinceMs = performance.now()
      return { liar, sinceMs, manner: Math.floor(at / 3) % 3 }
    })
    await Promise.all(
      lates.map(async ({ liar, sinceMs, manner }) => {
        const login = liar.login()
        if (manner === 1) await liar.say(login.subarray(0, login.length >> 1))
        for (let at = 0; manner === 2 && liar.end === undefined && at < login.length - 1; at++) {
          await liar.say(login.subarray(at, at + 1))
          await sleep(500)
        }
        expect(await liar.ended(LOGIN_MS + LATE_MS_MAX), 'is ended').toBe(true)
        const lastedMs = (liar.endedMs ?? 0) - sinceMs
        expect(lastedMs).toBeGreaterThan(LOGIN_MS - 1_000)
        expect(lastedMs).toBeLessThan(LOGIN_MS + LATE_MS_MAX)
      }),
    )
    await expect.poll(async () => (await target.ended('login_timeout')) - before, COUNTED_WITHIN).toBe(count)
  },
})
