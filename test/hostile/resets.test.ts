// Attack: a reset, an orderly end, and a half-close at every stage: after TCP, half a hello, TLS, half a head, an upgrade, half
// a login, a login; in every way in, TLS and plain.
// Stage: all.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; every descriptor and every session back.
// Offender: gone, and forgotten.

import { waitUntil } from '../support/process.ts'
import { attack, many, scaled, type Stage } from './attack.ts'
import { Intruder, WAYS, type Way } from './intruder.ts'
import type { Target } from './target.ts'

/** Up to where each goes before it ends. */
const STAGES: readonly ((target: Target, way: Way) => Promise<Intruder>)[] = [
  async (target) => await Intruder.knock(target),
  async (target) => await saying(await Intruder.knock(target), Buffer.from('16030102000100', 'hex')),
  async (target) => await Intruder.enter(target),
  async (target) => await saying(await Intruder.enter(target), 'GET /derp HTTP/1.1\r\nHost: '),
  async (target) => await saying(await Intruder.enter(target), 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  async (target, way) => await Intruder.open(target, way),
  async (target, way) => {
    const intruder = await Intruder.open(target, way)
    return await saying(intruder, intruder.login().subarray(0, 50))
  },
  async (target, way) => await Intruder.logIn(target, way),
  async (target, way) => await saying(await Intruder.logIn(target, way), Buffer.from('0400000400', 'hex')),
]

async function saying(intruder: Intruder, bytes: Uint8Array | string): Promise<Intruder> {
  await intruder.say(bytes)
  return intruder
}

const ENDS: readonly ((intruder: Intruder) => void)[] = [
  (intruder) => intruder.reset(),
  (intruder) => intruder.socket.destroy(),
  (intruder) => intruder.socket.end(),
]

async function leave(target: Target, stage: Stage): Promise<void> {
  const before = await target.count('derp_sessions_current')
  const combinations = STAGES.flatMap((reach) =>
    WAYS.flatMap((way) => ENDS.map((end) => ({ reach, way, end }))),
  )
  await many(combinations.length * scaled(30), async (at) => {
    const one = combinations[at % combinations.length]
    if (one === undefined) return
    const { reach, way, end } = one
    const intruder = stage.keep(await reach(target, way))
    end(intruder)
    // Half-closed ones are ended by the relay.
    await intruder.ended(5_000)
    if (intruder.endedMs === undefined) throw new Error('the relay keeps a connection that was half-closed')
  })
  await waitUntil(
    'sessions are back',
    async () => (await target.count('derp_sessions_current')) <= before + 1,
    5_000,
  )
}

const memoryMiB = { during: 32, after: 32 }
attack('ends at every stage', { memoryMiB, run: leave })
attack('ends at every stage of a plain port', { door: 'plain', memoryMiB, run: leave })
