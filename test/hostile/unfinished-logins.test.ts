// Attack: sessions that send nothing, half a login, or a login byte by byte that never ends.
// Stage: login, with every kind of upgrade.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 40 MiB; no descriptor.
// Offender: closed (login_timeout) ten seconds after its session began, or a few seconds later.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const LOGIN_MS = 10_000
/** On a loaded machine, the sweep that closes them may be late. */
const LATE_MS_MAX = 3_000

attack('unfinished logins', {
  memoryMiB: { during: 40, after: 40 },
  run: async (target, context) => {
    const before = await target.ended('login_timeout')
    const count = 9 * scaled(50)
    const late = await many(count, async (at) => {
      const offender = context.keep(await Intruder.openDerp(target, UPGRADES[at % 3]))
      const sinceMs = performance.now()
      return { offender, sinceMs, pattern: Math.floor(at / 3) % 3 }
    })
    await Promise.all(
      late.map(async ({ offender, sinceMs, pattern }) => {
        const login = offender.login()
        if (pattern === 1) await offender.send(login.subarray(0, login.length >> 1))
        for (let at = 0; pattern === 2 && offender.end === undefined && at < login.length - 1; at++) {
          await offender.send(login.subarray(at, at + 1))
          await sleep(500)
        }
        expect(await offender.ended(LOGIN_MS + LATE_MS_MAX), 'is ended').toBe(true)
        const lastedMs = (offender.endedMs ?? 0) - sinceMs
        expect(lastedMs).toBeGreaterThan(LOGIN_MS - 1_000)
        expect(lastedMs).toBeLessThan(LOGIN_MS + LATE_MS_MAX)
      }),
    )
    await expect.poll(async () => (await target.ended('login_timeout')) - before, COUNTED_WITHIN).toBe(count)
  },
})
