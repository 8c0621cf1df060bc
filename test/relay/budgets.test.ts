// What a connection, a key and all clients together may send, who decides it, and what clients are told of it. What tenants may
// send is fair-share.test.ts's matter.

import { expect, it } from 'vitest'
import { rosterOf } from '#admission/tenant-roster.ts'
import { NO_BUDGET, type Budget } from '#protocol/budget.ts'
import { forwardPacketFrame, sendPacketFrame } from '#protocol/frames.ts'
import { NO_BUDGETS, type RelayBudgets } from '#protocol/relay-limits.ts'
import { USUAL_TENANT } from '#protocol/tenant-rule.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { alice, bob, cathy, sibling } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { defaultLimits, noCancel, TestRelay, type TestRelayOptions } from '../support/test-relay.ts'

/** A packet that is charged 1,000 bytes as it is sent. */
const PACKET = Buffer.alloc(968, 'x')
const BYTES: Budget = { ...NO_BUDGET, bytesPerSecond: 100_000 }
const PACKETS: Budget = { ...NO_BUDGET, packetsPerSecond: 100 }
/** What passes at once: 64 KiB and the frame that overdraws it, or 64 packets and one. */
const BURST = 66

const limitsWith = (budgets: Partial<RelayBudgets>): typeof defaultLimits => ({
  ...defaultLimits,
  outboxBytesMax: Infinity,
  budgets: { ...NO_BUDGETS, ...budgets },
})

function relayWith(budgets: Partial<RelayBudgets>, more: TestRelayOptions = {}): TestRelay {
  return new TestRelay({ ...more, limits: limitsWith(budgets) })
}

const sendMany = (client: MemoryClient, count = 200): MemoryClient =>
  client.send(...Array.from({ length: count }, () => sendPacketFrame(bob.key, PACKET)))

/** Packets that have arrived since the last call. */
const arrived = (client: MemoryClient): number =>
  client.take().filter((line) => line.startsWith('RecvPacket')).length

/** Of `count` packets a second over the burst. */
const expectAbout = (count: number, of: number): void => expect(Math.abs(count - of)).toBeLessThanOrEqual(4)

it.each([
  ['bytes', BYTES],
  ['packets', PACKETS],
])('each connection has its budget of %s, and nothing is lost', (_what, connection) => {
  const relay = relayWith({ connection })
  const [a, b, c] = [relay.join(alice), relay.join(bob), relay.join(cathy)]
  sendMany(a)
  sendMany(c)
  expectAbout(arrived(b), 2 * BURST)
  relay.pass(1_000)
  expectAbout(arrived(b), 200)
  relay.pass(1_000)
  expectAbout(arrived(b), 400 - 2 * BURST - 200)
  expect(relay.drops).toEqual({})
})

it('the connections of a key share its budget, also over several threads', () => {
  for (const thread of [0, 1]) {
    const relay = relayWith({ key: BYTES }, { threads: 2 })
    const [a, again] = [relay.join(alice), relay.join(alice, { thread })]
    const b = relay.join(bob)
    for (const client of [a, again]) sendMany(client)
    // On two threads, each has a burst.
    expectAbout(arrived(b), (1 + thread) * BURST)
    relay.pass(1_000)
    expectAbout(arrived(b), 100)
  }
})

it('a key has the whole budget again when it has left the other thread', () => {
  const relay = relayWith({ key: BYTES }, { threads: 2 })
  const [a, again] = [relay.join(alice), relay.join(alice, { thread: 1 })]
  const b = relay.join(bob)
  sendMany(a, 400)
  expectAbout(arrived(b), BURST)
  relay.pass(1_000)
  expectAbout(arrived(b), 50)
  again.hangUp()
  relay.pass(2_000)
  expect(arrived(b)).toBeGreaterThan(180)
})

it('all clients share the budget of the relay; what siblings forward beyond it is dropped', () => {
  const relay = relayWith({ relay: BYTES })
  const [s, a, b, c] = [relay.joinSibling(sibling), relay.join(alice), relay.join(bob), relay.join(cathy)]
  sendMany(a)
  sendMany(c)
  expectAbout(arrived(b), BURST)
  relay.pass(1_000)
  expectAbout(arrived(b), 100)
  s.send(...Array.from({ length: 50 }, () => forwardPacketFrame(cathy.key, bob.key, PACKET)))
  expect(relay.drops['over_share data']).toBeGreaterThan(40)
  expect(a.link.isPaused).toBe(true)
})

it('what the relay drops is not charged to the tenant, and the other way round', () => {
  const relay = relayWith({ relay: { bytesPerSecond: Infinity, packetsPerSecond: 1 } })
  relay.setTenants(rosterOf([[bob.key, 'blue']], false, new Map([['blue', { ...USUAL_TENANT, ...BYTES }]])))
  const [s, b] = [relay.joinSibling(sibling), relay.join(bob)]
  // The relay's packets are used up before the tenant's bytes are.
  for (let n = 0; n < 200; n++) s.send(forwardPacketFrame(cathy.key, bob.key, PACKET.subarray(0, 100)))
  expectAbout(arrived(b), 63)
  relay.thread(0).relay.setLimits(limitsWith({}))
  for (let n = 0; n < 200; n++) s.send(forwardPacketFrame(cathy.key, bob.key, PACKET))
  // Of 64 KiB, the tenant has used those 6,300 bytes that arrived.
  expectAbout(arrived(b), 61)
})

/** Admission allows everybody with this budget for their keys. */
function admitting(budget: () => Budget | undefined): TestRelayOptions['admission'] {
  return {
    ask: (_request, decide) => {
      const answer: AdmissionAnswer = { result: 'allowed', reason: '', budget: budget(), recheckInMs: 1_000 }
      decide(answer)
      return noCancel
    },
  }
}

it("what admission says of a key counts in place of the relay's budget for keys, and may change", () => {
  let budget: Budget | undefined = NO_BUDGET
  const relay = relayWith({ key: BYTES }, { admission: admitting(() => budget) })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  sendMany(a)
  expect(arrived(b)).toBe(200)
  budget = { ...NO_BUDGET, packetsPerSecond: 10 }
  relay.pass(3_000)
  sendMany(a)
  expectAbout(arrived(b), 65)
  relay.pass(1_000)
  expectAbout(arrived(b), 10)
  // It is read on at once when it has more.
  budget = NO_BUDGET
  relay.pass(3_000)
  expect(arrived(b)).toBeGreaterThan(100)
})

it('budgets change while clients are connected; one that stays keeps what was used of it', () => {
  const relay = relayWith({ connection: BYTES })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  sendMany(a)
  expectAbout(arrived(b), BURST)
  relay.thread(0).relay.setLimits(limitsWith({ connection: { ...BYTES } }))
  relay.settle()
  expect(arrived(b)).toBe(0)
  relay.thread(0).relay.setLimits(limitsWith({}))
  relay.pass(1)
  expectAbout(arrived(b), 200 - BURST)
})

it('siblings have no budget', () => {
  const relay = relayWith({ connection: BYTES, key: BYTES })
  const [s, b] = [relay.joinSibling(sibling), relay.join(bob)]
  for (let n = 0; n < 500; n++) s.send(forwardPacketFrame(cathy.key, bob.key, PACKET))
  expect(arrived(b)).toBe(500)
})

it.each<[string, Partial<RelayBudgets>, Budget | undefined, string]>([
  ['nothing unless asked for', { key: BYTES }, undefined, ''],
  ['nothing without a budget of bytes', { areAnnounced: true, key: PACKETS }, undefined, ''],
  ['the budget of its key', { areAnnounced: true, key: BYTES }, undefined, ', 100000 bytes/s after 65573'],
  [
    'the smaller one',
    { areAnnounced: true, key: BYTES, connection: { ...NO_BUDGET, bytesPerSecond: 9_000.5 } },
    undefined,
    ', 9000 bytes/s after 65573',
  ],
  [
    'what admission says',
    { areAnnounced: true, key: BYTES },
    { ...NO_BUDGET, bytesPerSecond: 2_000_000 },
    ', 2000000 bytes/s after 200000',
  ],
  ['nothing of what all share', { areAnnounced: true, relay: BYTES }, undefined, ''],
])('a client is told %s', (_what, budgets, own, told) => {
  const relay = relayWith(budgets, { admission: admitting(() => own) })
  const a = relay.connect(alice)
  a.logIn()
  expect(a.take()).toContain(`ServerInfo version 2${told}`)
})
