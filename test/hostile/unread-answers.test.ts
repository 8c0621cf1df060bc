// Attack: pipelined HTTP requests, as fast as they are read, whose answers are not read.
// Stage: HTTP, TLS and plain, and the HTTP port beside TLS.
// Promise: a good client logs in within 2 s and sends a packet; the bystanders stay connected.
// Bound: one connection has one answer in progress, and one head and one read (80 KiB) buffered; 16 MiB for all of them together;
// 32 KiB of TLS state each, and 6 MiB besides (10 on Node 24, for ten times as many connections too), and what Node's public sockets
// take. The same after the attack. On the HTTP port, whose connections are Node's sockets, two more reads of 64 KiB each and 40 MiB of
// garbage: mostly read buffers, which V8 leaves until the next full collection. Tried: after one, the relay had 5 MiB more than before
// the attack. A connection that does not read an answer for 30 s is closed.
// Offender: is not read any further. When all together have buffered more than 16 MiB, the connection that has buffered bytes the
// longest is closed.

import { expect } from 'vitest'
import { attack, publicSocketsMiB, scaled, type AttackContext } from './attack.ts'
import { Intruder } from './intruder.ts'
import type { Target } from './target.ts'

const REQUESTS = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_000))
const FLOOD_MS = 4_000
/** What the system's buffers take on both sides. To get rid of more, a client would have to read answers. */
const TAKEN_BYTES_MAX = 16_777_216
const COUNT = scaled(600, 60)
/** Connections that may buffer 80 KiB each without exceeding the limit for all. */
const BUFFERING_MIN = 200

function run(connect: (target: Target) => Promise<Intruder>) {
  return async (target: Target, context: AttackContext): Promise<void> => {
    const clients = await Promise.all(
      Array.from({ length: COUNT }, async () => context.keep(await connect(target))),
    )
    for (const client of clients) client.stopReading()
    const taken = await Promise.all(clients.map(async (client) => await client.flood(REQUESTS, FLOOD_MS)))
    expect(Math.max(...taken), 'bytes of requests taken of one client').toBeLessThan(TAKEN_BYTES_MAX)
    const ended = clients.filter(({ end }) => end !== undefined).length
    expect(ended, 'ended clients').toBeLessThanOrEqual(Math.max(0, COUNT - BUFFERING_MIN))
  }
}

/** The relay under test runs on the Node that the tests run on. */
const BESIDES_MIB = Number.parseInt(process.versions.node, 10) < 24 ? 6 : 10
const GARBAGE_MIB = 40
const boundMiB = 16 + BESIDES_MIB + COUNT / 32 + publicSocketsMiB(COUNT)
const httpBoundMiB = 16 + BESIDES_MIB + GARBAGE_MIB + COUNT / 8
const memoryMiB = { during: boundMiB, after: boundMiB }
attack('unread answers', { memoryMiB, run: run(async (target) => await Intruder.connect(target)) })
attack('unread answers on a plain port', {
  memoryMiB,
  portKind: 'plain',
  run: run(async (target) => await Intruder.connect(target)),
})
attack('unread answers on the HTTP port', {
  memoryMiB: { during: httpBoundMiB, after: httpBoundMiB },
  run: run(async (target) => await Intruder.connectTcp(target, target.httpPort)),
})
