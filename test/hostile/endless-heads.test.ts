// Attack: endless HTTP heads: in one piece, in many pieces, one endless line, endless lines.
// Stage: HTTP head, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 16 KiB per head, 48 MiB for all; no descriptor.
// Offender: answered with 431 (or 400), closed when it has sent more than a head may have, and counted.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, many, scaled } from './attack.ts'
import { Intruder } from './intruder.ts'
import type { Target } from './target.ts'

const START = 'GET /derp HTTP/1.1\r\nHost: localhost\r\n'
const HEADS: readonly string[] = [
  `${START}X: ${'x'.repeat(60_000)}`,
  `${START}X: ${'x'.repeat(60_000)}\r\n\r\n`,
  `GET /${'x'.repeat(20_000)}`,
  START + 'A: b\r\n'.repeat(4_000),
  `${START}X: ${'x'.repeat(16_384 - START.length - 3)}`,
]
const PIECE_BYTES = [60_000, 4_000, 700]

async function sendEndlessHeads(target: Target, keep: (intruder: Intruder) => Intruder): Promise<void> {
  const before = await target.count('derp_handshake_failures_total', 'http')
  const count = HEADS.length * PIECE_BYTES.length * scaled(20)
  await many(count, async (at) => {
    const head = HEADS[at % HEADS.length] ?? ''
    const size = PIECE_BYTES[Math.floor(at / HEADS.length) % PIECE_BYTES.length] ?? 1
    const offender = keep(await Intruder.connect(target))
    for (let from = 0; from < head.length && offender.end === undefined; from += size) {
      await offender.send(head.slice(from, from + size))
    }
    // The last head is as long as a head may be: one byte more ends the connection.
    if (offender.end === undefined) await offender.send('xx')
    expect(await offender.ended(5_000), `head ${at % HEADS.length} in pieces of ${size}`).toBe(true)
    expect(offender.received.toString('latin1')).toMatch(/^$|^HTTP\/1.1 4(31|00) /)
  })
  await expect
    .poll(async () => (await target.count('derp_handshake_failures_total', 'http')) - before, COUNTED_WITHIN)
    .toBe(count)
}

const memoryMiB = { during: 48, after: 48 }
attack('endless heads', {
  memoryMiB,
  run: async (target, context) => await sendEndlessHeads(target, context.keep),
})
attack('endless heads on a plain port', {
  portKind: 'plain',
  memoryMiB,
  run: async (target, context) => await sendEndlessHeads(target, context.keep),
})
