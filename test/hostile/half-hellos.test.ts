// Attack: thousands of connections that send nothing, and thousands that send the first half of a TLS hello.
// Stage: TCP, TLS.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: no TLS state before the first record is complete: 24 MiB for all together, and 16 KiB for each.
// Offender: kept for the 30 s of a handshake, or closed for later connections; its memory is free as soon as it is gone.

import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'vitest'
import { clientHello } from '../support/tls13-client.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'

/** The same message with a record for each of its bytes. */
function inRecordsOfOneByte(record: Buffer): Buffer {
  return Buffer.concat([...record.subarray(5)].map((byte) => Buffer.from([22, 3, 1, 0, 1, byte])))
}

const COUNT = scaled(6_000, 500)
const publicKey = generateKeyPairSync('x25519')
  .publicKey.export({ format: 'der', type: 'spki' })
  .subarray(-32)
const hello = clientHello(publicKey)
const boundMiB = 24 + (COUNT * 16) / 1_024

for (const [what, bytes] of [
  ['nothing', Buffer.alloc(0)],
  ['one byte of a TLS hello', hello.subarray(0, 1)],
  ['half a TLS hello', hello.subarray(0, hello.length >> 1)],
  [
    'half a TLS hello in records of one byte',
    inRecordsOfOneByte(Buffer.from(hello.subarray(0, hello.length >> 1))),
  ],
] as const) {
  attack(`${COUNT} connections that send ${what}`, {
    memoryMiB: { during: boundMiB, after: boundMiB },
    run: async (target, context) => {
      const silent = await many(COUNT, async () => {
        const intruder = context.keep(await Intruder.connectTcp(target))
        await intruder.send(bytes)
        return intruder
      })
      expect(silent.every(({ receivedBytes }) => receivedBytes < 100)).toBe(true)
      expect(target.descriptors).toBeLessThan(COUNT + 100)
    },
  })
}
