// Attack: WebSocket pings as fast as they are taken, whose pongs are not read.
// Stage: before and after the login, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet; the pair that has nothing to do with it stays.
// Bound: nothing is kept but eight pings of 125 bytes; 32 KiB of TLS for each connection, and 22 MiB. As much after.
// Offender: ended after a hundred pings, as `ping_flood`.

import { expect } from 'vitest'
import { attack, COUNTED_WITHIN, scaled, type Stage } from './attack.ts'
import { Intruder } from './intruder.ts'
import { Opcode, webSocketFrame } from '../support/player.ts'
import type { Target } from './target.ts'

const PINGS = Buffer.concat(
  Array.from({ length: 500 }, () => webSocketFrame(Opcode.ping, Buffer.alloc(125, 7))),
)
const FLOOD_MS = 10_000
const COUNT = scaled(600, 60)

function run(enter: (target: Target) => Promise<Intruder>) {
  return async (target: Target, stage: Stage): Promise<void> => {
    const pingers = await Promise.all(
      Array.from({ length: COUNT }, async () => stage.keep(await enter(target))),
    )
    for (const pinger of pingers) pinger.stopReading()
    await Promise.all(
      pingers.map(async (pinger) => {
        const untilMs = performance.now() + FLOOD_MS
        while (performance.now() < untilMs && pinger.end === undefined) await pinger.sayRaw(PINGS)
      }),
    )
    for (const pinger of pingers) expect(await pinger.ended(2_000)).toBe(true)
    await expect.poll(async () => await target.ended('ping_flood'), COUNTED_WITHIN).toBe(pingers.length)
  }
}

const opened = async (target: Target): Promise<Intruder> => await Intruder.open(target, 'WebSocket')
const loggedIn = async (target: Target): Promise<Intruder> => await Intruder.logIn(target, 'WebSocket')
const boundMiB = 22 + COUNT / 32
const memoryMiB = { during: boundMiB, after: boundMiB }
attack('unread pongs before the login', { memoryMiB, run: run(opened) })
attack('unread pongs after the login', { memoryMiB, run: run(loggedIn) })
attack('unread pongs after the login, on a plain port', { memoryMiB, door: 'plain', run: run(loggedIn) })
