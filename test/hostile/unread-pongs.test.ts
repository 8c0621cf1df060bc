// Attack: WebSocket pings as fast as they are read, whose pongs are not read.
// Stage: before and after the login, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet; the bystanders stay connected.
// Bound: eight pings of 125 bytes and 32 KiB of TLS state for each connection, and 22 MiB. The same after the attack.
// Offender: closed after a hundred pings (ping_flood).

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, scaled, type AttackContext } from './attack.ts'
import { Intruder } from './intruder.ts'
import { Opcode, webSocketFrame } from '../support/raw-frames.ts'
import type { Target } from './target.ts'

const PINGS = Buffer.concat(
  Array.from({ length: 500 }, () => webSocketFrame(Opcode.ping, Buffer.alloc(125, 7))),
)
const FLOOD_MS = 10_000
const COUNT = scaled(600, 60)

function run(connect: (target: Target) => Promise<Intruder>) {
  return async (target: Target, context: AttackContext): Promise<void> => {
    const pingers = await Promise.all(
      Array.from({ length: COUNT }, async () => context.keep(await connect(target))),
    )
    for (const pinger of pingers) pinger.stopReading()
    await Promise.all(
      pingers.map(async (pinger) => {
        const untilMs = performance.now() + FLOOD_MS
        while (performance.now() < untilMs && pinger.end === undefined) await pinger.sendRaw(PINGS)
      }),
    )
    for (const pinger of pingers) expect(await pinger.ended(2_000)).toBe(true)
    await expect.poll(async () => await target.ended('ping_flood'), COUNTED_WITHIN).toBe(pingers.length)
  }
}

const opened = async (target: Target): Promise<Intruder> => await Intruder.openDerp(target, 'WebSocket')
const loggedIn = async (target: Target): Promise<Intruder> => await Intruder.logIn(target, 'WebSocket')
const boundMiB = 22 + COUNT / 32
const memoryMiB = { during: boundMiB, after: boundMiB }
attack('unread pongs before the login', { memoryMiB, run: run(opened) })
attack('unread pongs after the login', { memoryMiB, run: run(loggedIn) })
attack('unread pongs after the login, on a plain port', { memoryMiB, portKind: 'plain', run: run(loggedIn) })
