// Attack: connections to the admin port that send nothing, that send half a request, and that read no answer.
// Stage: the admin port.
// Promise: health is served within 2 s; a good client logs in within 2 s and sends a packet.
// Bound: 40 MiB and 64 descriptors, the port's own limit.
// Offender: closed for later connections, the oldest first.

import { expect } from 'vitest'
import { attack, many } from './attack.ts'
import { Intruder } from './intruder.ts'

/** More than the port accepts at once. */
const COUNT = 80

for (const [title, text] of [
  ['send nothing', ''],
  ['send half a request', 'GET /metrics HTTP/1.1\r\nHost: '],
  ['read no answer', 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50)],
] as const) {
  attack(`admin connections that ${title}`, {
    memoryMiB: { during: 40, after: 40 },
    run: async (target, context) => {
      await many(COUNT, async () => {
        const silent = context.keep(await Intruder.connectTcp(target, target.adminPort))
        silent.stopReading()
        await Promise.race([silent.send(text), new Promise((resolve) => setTimeout(resolve, 500))])
      })
      for (let times = 0; times < 3; times++) {
        expect((await target.admin('/livez', 2_000)).status).toBe(200)
        expect((await target.admin('/metrics', 2_000)).status).toBe(200)
      }
      expect(target.descriptors).toBeLessThan(COUNT + 70)
    },
  })
}
