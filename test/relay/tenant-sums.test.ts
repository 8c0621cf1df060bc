// What was sent to the clients of each tenant is added up, and what follows when it is too much for a month.

import { expect, it } from 'vitest'
import { rosterOf, type NamedRoster } from '#admission/tenant-roster.ts'
import { forwardPacketFrame } from '#protocol/frames.ts'
import type { MonthRule } from '#protocol/relay-limits.ts'
import { USUAL_TENANT } from '#protocol/tenant-rule.ts'
import { makeTenantSums, rowOf } from '#relay/tenant-sums.ts'
import { actor, alice, bob, cathy, sibling, type Actor } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { disco } from '../vectors/frames.ts'

const dave = actor('dave')
const MONTH: MonthRule = { bytesMax: 1e12, over: 'disco' }
/** With its header and key, a frame of 1,000 bytes. */
const PACKET = Buffer.alloc(963, 'x')
const FRAME_BYTES = 1_000
/** Each session is swept in that time. */
const SWEPT_MS = 1_000

/** Blue has number 1 and is counted, red has number 2 and is not. */
function roster(blue: readonly Actor[], red: readonly Actor[]): NamedRoster {
  const members = [
    ...blue.map(({ key }) => [key, 'blue'] as const),
    ...red.map(({ key }) => [key, 'red'] as const),
  ]
  return rosterOf(members, false, new Map([['blue', { ...USUAL_TENANT, month: MONTH }]]))
}

/** All of them, the second one and the last one on the last thread. */
function joined(relay: TestRelay): Readonly<Record<'a' | 'b' | 'c' | 'd', MemoryClient>> {
  const thread = relay.threads.length - 1
  return {
    a: relay.join(alice),
    b: relay.join(bob, { thread }),
    c: relay.join(cathy),
    d: relay.join(dave, { thread }),
  }
}

it('adds up the frames that leave for the clients of a tenant, whoever sent them, and of no other', () => {
  const relay = new TestRelay()
  const sentBytes = new Float64Array(3)
  relay.setTenants({ ...roster([alice, bob], [cathy]), sentBytes })
  const { a, b, c, d } = joined(relay)
  for (let n = 0; n < 3; n++) a.sendPacket(bob, PACKET)
  c.sendPacket(alice, PACKET)
  a.sendPacket(cathy, PACKET)
  a.sendPacket(dave, PACKET).settled()
  relay.pass(SWEPT_MS)
  expect([...sentBytes]).toEqual([0, 4 * FRAME_BYTES, 0])
  // A client that leaves has been counted to its last packet, and nothing twice.
  d.sendPacket(bob, PACKET).settled()
  relay.pass(SWEPT_MS)
  a.sendPacket(bob, PACKET).settled()
  b.hangUp()
  relay.pass(SWEPT_MS)
  expect([...sentBytes]).toEqual([0, 6 * FRAME_BYTES, 0])
})

it('what was sent before a change of the list counts for the tenant of then', () => {
  const relay = new TestRelay()
  const [before, after] = [new Float64Array(3), new Float64Array(3)]
  relay.setTenants({ ...roster([], []), sentBytes: before })
  const { a } = joined(relay)
  a.sendPacket(bob, PACKET).settled()
  relay.setTenants({ ...roster([bob], [alice]), sentBytes: before })
  a.sendPacket(bob, PACKET).settled()
  relay.setTenants({ ...roster([alice], [bob]), sentBytes: after })
  a.sendPacket(bob, PACKET).settled()
  relay.setTenants(undefined)
  a.sendPacket(bob, PACKET).settled()
  relay.pass(SWEPT_MS)
  expect([[...before], [...after]]).toEqual([
    [0, FRAME_BYTES, 0],
    [0, 0, 0],
  ])
})

it('each thread has a row of its own', () => {
  const sums = makeTenantSums(3, 2)
  for (let thread = 0; thread < 3; thread++) rowOf(sums, thread)[2] = thread + 1
  expect([0, 1, 2].map((thread) => Array.from(rowOf(sums, thread)))).toEqual([
    [0, 0, 1],
    [0, 0, 2],
    [0, 0, 3],
  ])
})

it('of a tenant that is over, data packets are dropped in both directions and disco messages pass; others are as before', () => {
  const relay = new TestRelay({ threads: 2 })
  relay.setTenants(roster([alice, bob], [cathy]))
  const { a, b, c, d } = joined(relay)
  const s = relay.joinSibling(sibling)
  for (const { relay: thread } of relay.threads) thread.setDiscoOnly(false, new Set([1]))
  a.sendPacket(bob, PACKET).sendPacket(cathy, PACKET).sendPacket(bob, disco.message)
  c.sendPacket(alice, PACKET).sendPacket(dave, PACKET)
  s.send(forwardPacketFrame(dave.key, alice.key, PACKET)).send(
    forwardPacketFrame(dave.key, cathy.key, PACKET),
  )
  relay.settle()
  expect([a, b, c, d].map((one) => one.take().length)).toEqual([0, 1, 1, 1])
  expect(relay.drops).toEqual({ 'over_month data': 4 })
  for (const { relay: thread } of relay.threads) thread.setDiscoOnly(false, new Set())
  a.sendPacket(bob, PACKET).settled()
  expect(b.take()).toHaveLength(1)
  for (const { relay: thread } of relay.threads) thread.setDiscoOnly(true, new Set())
  d.sendPacket(cathy, PACKET).settled()
  expect(c.take()).toHaveLength(0)
})
