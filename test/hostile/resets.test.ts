// Attack: a reset, a close and a half-close at every stage: after TCP, half a hello, TLS, half a head, an upgrade, half a login, a
// login.
// Stage: all, with every kind of upgrade, TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; descriptors and sessions as before.
// Offender: gone, and nothing is left of it.

import { waitUntil } from '../support/process.ts'
import { attack, many, scaled, type AttackContext } from './attack.ts'
import { Intruder, UPGRADES, type UpgradeKind } from './intruder.ts'
import type { Target } from './target.ts'

/** How far a connection goes before it ends. */
const STAGES: readonly ((target: Target, kind: UpgradeKind) => Promise<Intruder>)[] = [
  async (target) => await Intruder.connectTcp(target),
  async (target) => await sending(await Intruder.connectTcp(target), Buffer.from('16030102000100', 'hex')),
  async (target) => await Intruder.connect(target),
  async (target) => await sending(await Intruder.connect(target), 'GET /derp HTTP/1.1\r\nHost: '),
  async (target) =>
    await sending(await Intruder.connect(target), 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  async (target, kind) => await Intruder.openDerp(target, kind),
  async (target, kind) => {
    const intruder = await Intruder.openDerp(target, kind)
    return await sending(intruder, intruder.login().subarray(0, 50))
  },
  async (target, kind) => await Intruder.logIn(target, kind),
  async (target, kind) => await sending(await Intruder.logIn(target, kind), Buffer.from('0400000400', 'hex')),
]

async function sending(intruder: Intruder, bytes: Uint8Array | string): Promise<Intruder> {
  await intruder.send(bytes)
  return intruder
}

const ENDS: readonly ((intruder: Intruder) => void)[] = [
  (intruder) => intruder.reset(),
  (intruder) => intruder.socket.destroy(),
  (intruder) => intruder.socket.end(),
]

async function endAtEveryStage(target: Target, context: AttackContext): Promise<void> {
  const before = await target.count('derp_sessions_current')
  const combinations = STAGES.flatMap((reach) =>
    UPGRADES.flatMap((kind) => ENDS.map((end) => ({ reach, kind, end }))),
  )
  await many(combinations.length * scaled(30), async (at) => {
    const combination = combinations[at % combinations.length]
    if (combination === undefined) return
    const { reach, kind, end } = combination
    const intruder = context.keep(await reach(target, kind))
    end(intruder)
    // The relay ends half-closed connections.
    await intruder.ended(5_000)
    if (intruder.endedMs === undefined) throw new Error('the relay keeps a connection that was half-closed')
  })
  await waitUntil(
    'sessions are as before',
    async () => (await target.count('derp_sessions_current')) <= before + 1,
    5_000,
  )
}

const memoryMiB = { during: 32, after: 32 }
attack('ends at every stage', { memoryMiB, run: endAtEveryStage })
attack('ends at every stage of a plain port', { portKind: 'plain', memoryMiB, run: endAtEveryStage })
