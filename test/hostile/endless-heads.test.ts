// Attack: an HTTP head that never ends: in one piece, in many, byte by byte, a line without end, lines without end.
// Stage: HTTP head, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: a head's 16 KiB for each: 48 MiB for all; no descriptor.
// Offender: answered 431 (or 400) and closed once it has said more than a head may have; counted.

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

async function neverEnd(target: Target, keep: (one: Intruder) => Intruder): Promise<void> {
  const before = await target.count('derp_handshake_failures_total', 'http')
  const count = HEADS.length * PIECE_BYTES.length * scaled(20)
  await many(count, async (at) => {
    const head = HEADS[at % HEADS.length] ?? ''
    const size = PIECE_BYTES[Math.floor(at / HEADS.length) % PIECE_BYTES.length] ?? 1
    const liar = keep(await Intruder.enter(target))
    for (let from = 0; from < head.length && liar.end === undefined; from += size) {
      await liar.say(head.slice(from, from + size))
    }
    // The last of them is as long as a head may be: the end comes with one byte more.
    if (liar.end === undefined) await liar.say('xx')
    expect(await liar.ended(5_000), `head ${at % HEADS.length} in pieces of ${size}`).toBe(true)
    expect(liar.received.toString('latin1')).toMatch(/^$|^HTTP\/1.1 4(31|00) /)
  })
  await expect
    .poll(async () => (await target.count('derp_handshake_failures_total', 'http')) - before, COUNTED_WITHIN)
    .toBe(count)
}

const memoryMiB = { during: 48, after: 48 }
attack('heads without end', { memoryMiB, run: async (target, stage) => await neverEnd(target, stage.keep) })
attack('heads without end on a plain port', {
  door: 'plain',
  memoryMiB,
  run: async (target, stage) => await neverEnd(target, stage.keep),
})
