// What the clients of a tenant may send together, and what becomes of what a sibling forwards to them beyond that.

import { expect, it } from 'vitest'
import { rosterOf } from '#admission/tenant-roster.ts'
import { forwardPacketFrame, sendPacketFrame } from '#protocol/frames.ts'
import { USUAL_TENANT, type TenantRule } from '#protocol/tenant-rule.ts'
import { alice, bob, cathy, sibling } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'
import { disco } from '../vectors/frames.ts'

/** A packet that is charged 1,000 bytes as it is sent. */
const numbered = (n: number): Buffer => Buffer.alloc(968, `${n} `)

/** Alice and bob are of one tenant, with this rule; cathy is of none. */
function relayWith(rule: Partial<TenantRule>): TestRelay {
  const relay = new TestRelay({ limits: { outboxBytesMax: Infinity } })
  const members = [alice, bob].map(({ key }) => [key, 'blue'] as const)
  relay.setTenants(rosterOf(members, false, new Map([['blue', { ...USUAL_TENANT, ...rule }]])))
  return relay
}

it.each([
  ['bytes', { bytesPerSecond: 100_000 }, 66],
  ['packets', { packetsPerSecond: 100 }, 64],
])('the clients of a tenant share its rate of %s, and nothing is lost', (_what, rule, burst) => {
  const relay = relayWith(rule)
  const [a, b, c] = [relay.join(alice), relay.join(bob), relay.join(cathy)]
  const count = 200
  for (let n = 0; n < count; n++) {
    a.send(sendPacketFrame(cathy.key, numbered(n)))
    b.send(sendPacketFrame(cathy.key, numbered(n)))
  }
  let arrived = c.take().length
  expect(Math.abs(arrived - burst)).toBeLessThanOrEqual(4)
  relay.pass(1_000)
  arrived += c.take().length
  // Each of the two may overdraw by a frame whenever it is read on.
  expect(Math.abs(arrived - burst - 100)).toBeLessThanOrEqual(8)
  relay.pass(4_000)
  expect(arrived + c.take().length).toBe(2 * count)
})

it('clients without a tenant, and of tenants without a rate, are not limited', () => {
  const relay = relayWith({ bytesPerSecond: 100_000 })
  const [a, c] = [relay.join(alice), relay.join(cathy)]
  for (let n = 0; n < 300; n++) c.sendPacket(alice, numbered(n))
  expect(a.take().length).toBe(300)
})

it('a client that waits for its tenant is read at once when the tenant has no rate any more', () => {
  const relay = relayWith({ bytesPerSecond: 100_000 })
  const [a, c] = [relay.join(alice), relay.join(cathy)]
  for (let n = 0; n < 300; n++) a.send(sendPacketFrame(cathy.key, numbered(n)))
  expect(c.take().length).toBeLessThan(100)
  relay.setTenants(undefined)
  relay.pass(1)
  expect(c.take().length).toBeGreaterThan(200)
})

it('beyond the rate, what a sibling forwards is dropped as over share; disco is not', () => {
  const relay = relayWith({ bytesPerSecond: 100_000 })
  const [s, a] = [relay.joinSibling(sibling), relay.join(alice)]
  for (let n = 0; n < 100; n++) s.send(forwardPacketFrame(cathy.key, alice.key, numbered(n)))
  for (let n = 0; n < 5; n++) s.send(forwardPacketFrame(cathy.key, alice.key, disco.message))
  const lines = a.take().filter((line) => line.startsWith('RecvPacket'))
  const dropped = relay.drops['over_share data'] ?? 0
  expect(dropped).toBeGreaterThan(20)
  expect(lines.length).toBe(105 - dropped)
  expect(relay.drops).toEqual({ 'over_share data': dropped })
})
