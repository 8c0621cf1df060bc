// Attack: requests to the HTTP port that arrive byte by byte, half a request, no request, and answers that are not read.
// Stage: the HTTP port beside TLS.
// Promise: a captive-portal check is answered within 2 s; a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB, and 16 KiB for each.
// Offender: kept for the time limit of a head, or closed for later connections.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { attack, many, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

const COUNT = scaled(2_000, 300)
const boundMiB = 32 + COUNT / 64
const REQUEST = 'GET /generate_204 HTTP/1.1\r\nHost: localhost\r\nX-Tailscale-Challenge: ts_1\r\n\r\n'

attack(`${COUNT} slow clients of the HTTP port`, {
  memoryMiB: { during: boundMiB, after: boundMiB },
  run: async (target, context) => {
    const slow = await many(COUNT, async (at) => {
      const intruder = context.keep(await Intruder.connectTcp(target, target.httpPort))
      if (at % 4 === 1) await intruder.send(REQUEST.slice(0, 30))
      if (at % 4 === 2) intruder.stopReading()
      // A few are enough: more would overload this process, not the relay.
      if (at % 40 === 2) void intruder.flood(Buffer.from(REQUEST.repeat(100)), 1_000)
      return intruder
    })
    for (let at = 0; at < 20; at++) {
      await Promise.all(
        slow.filter((_, i) => i % 4 === 3).map(async (intruder) => await intruder.send(REQUEST[at] ?? '')),
      )
      await sleep(50)
    }
    const portal = await fetch(`http://127.0.0.1:${target.httpPort}/generate_204`, {
      headers: { 'x-tailscale-challenge': 'ts_1' },
      signal: AbortSignal.timeout(2_000),
    })
    expect([portal.status, portal.headers.get('x-tailscale-response')]).toEqual([204, 'response ts_1'])
  },
})
