// Attack: anything but TLS on the TLS port: HTTP, garbage, records with false lengths, an alert, two hellos.
// Stage: TLS.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; no descriptor.
// Offender: closed as soon as it is recognizably not TLS, and counted.

import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { clientHello } from '../support/tls13-client.ts'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

const hello = clientHello(randomBytes(32))
const INPUTS: readonly Uint8Array[] = [
  Buffer.from('GET /derp HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  Buffer.alloc(600, 0xff),
  // A record of 64 KiB, empty records, application data before the handshake, an alert.
  Buffer.concat([Buffer.from('160301ffff', 'hex'), Buffer.alloc(20_000)]),
  Buffer.from('1603010000'.repeat(100), 'hex'),
  Buffer.concat([Buffer.from('1703030100', 'hex'), Buffer.alloc(256)]),
  Buffer.from('15030100020228', 'hex'),
  Buffer.concat([hello, hello]),
]

attack('no TLS on the TLS port', {
  memoryMiB: { during: 32, after: 32 },
  run: async (target, context) => {
    const before = await target.count('derp_handshake_failures_total')
    const count = INPUTS.length * scaled(100)
    await many(count, async (at) => {
      const offender = context.keep(await Intruder.connectTcp(target))
      await offender.send(INPUTS[at % INPUTS.length] ?? hello)
      expect(await offender.ended(5_000), `input ${at % INPUTS.length} ends`).toBe(true)
    })
    await expect
      .poll(async () => (await target.count('derp_handshake_failures_total')) - before, COUNTED_WITHIN)
      .toBe(count)
  },
})
