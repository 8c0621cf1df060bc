// Limits and login policy that change while sessions live.

import { expect, it } from 'vitest'
import { sendPacketFrame } from '#protocol/frames.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { SessionLimits } from '#relay/session-limits.ts'
import { alice, bob, cathy } from '../support/actor.ts'
import { admit, admitAll, defaultLimits, TestRelay } from '../support/test-relay.ts'

const numbered = (n: number): Buffer => Buffer.alloc(968, `${n} `)

function change(relay: TestRelay, limits: Partial<SessionLimits>): void {
  for (const { relay: thread } of relay.threads) thread.setLimits({ ...defaultLimits, ...limits })
}

it('the length of queues changes for clients that are connected', () => {
  const relay = new TestRelay({ limits: { outboxPacketsMax: 32, writeTimeoutMs: 0 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isStalled = true
  a.sendPacket(bob, numbered(0)).settled()
  for (let n = 1; n <= 20; n++) a.sendPacket(bob, numbered(n)).settled()
  expect(relay.drops).toEqual({})
  change(relay, { outboxPacketsMax: 5, writeTimeoutMs: 0 })
  a.sendPacket(bob, numbered(21)).settled()
  expect(relay.drops).toEqual({ 'queue_head data': 16 })
})

it('the time that a client may accept nothing changes, also for one that accepts nothing already', () => {
  const relay = new TestRelay({ limits: { writeTimeoutMs: 0 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isStalled = true
  a.sendPacket(bob, numbered(0)).settled()
  relay.pass(10_000)
  expect(relay.ends).toEqual([])
  change(relay, { writeTimeoutMs: 11_000 })
  relay.pass(500)
  expect(relay.ends).toEqual([])
  relay.pass(2_000)
  expect(relay.ends).toMatchObject([{ reason: EndReason.writeStalled }])
})

it('a rate begins, changes and ends for a client that is connected; one that stays the same keeps its debt', () => {
  const relay = new TestRelay({ limits: { outboxBytesMax: Infinity } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  const sent = (count: number): number => {
    a.send(...Array.from({ length: count }, (_, n) => sendPacketFrame(bob.key, numbered(n))))
    return b.take().length
  }
  expect(sent(100)).toBe(100)
  const rate = { bytesPerSecond: 100_000, burstBytes: 65_568 }
  change(relay, { outboxBytesMax: Infinity, rate })
  // The burst, and the frame that overdraws it.
  expect(sent(100)).toBe(66)
  change(relay, { outboxBytesMax: Infinity, rate: { ...rate } })
  relay.pass(100)
  expect(b.take().length).toBeLessThan(12)
  relay.pass(1_000)
  b.take()
  change(relay, { outboxBytesMax: Infinity })
  expect(sent(200)).toBe(200)
})

it('a client that is held back for its rate is read at once when the rate is raised, and not when it is lowered', () => {
  const slow = { bytesPerSecond: 1_000, burstBytes: 65_568 }
  const relay = new TestRelay({ limits: { outboxBytesMax: Infinity, rate: slow } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  a.send(...Array.from({ length: 200 }, (_, n) => sendPacketFrame(bob.key, numbered(n))))
  expect(b.take().length).toBe(66)
  change(relay, { outboxBytesMax: Infinity, rate: { ...slow, bytesPerSecond: 500 } })
  relay.pass(100)
  expect(b.take()).toEqual([])
  change(relay, { outboxBytesMax: Infinity, rate: { ...slow, bytesPerSecond: 100_000 } })
  relay.pass(1)
  expect(b.take().length).toBe(66)
  // The timer of the first pause ends none of the later ones.
  change(relay, { outboxBytesMax: Infinity })
  relay.pass(1)
  expect(b.take().length).toBe(68)
  relay.pass(100_000)
  expect(a.link.isPaused).toBe(false)
})

it('a shorter interval of keepalives applies to clients that are connected', () => {
  const relay = new TestRelay()
  const a = relay.join(alice)
  relay.pass(1_000)
  change(relay, { keepAlive: { minMs: 5_000, maxMs: 6_000 } })
  relay.pass(6_500)
  expect(a.take()).toEqual(['KeepAlive'])
  change(relay, { keepAlive: { minMs: 60_000, maxMs: 65_000 } })
  relay.pass(7_000)
  expect(a.take().length).toBeLessThanOrEqual(1)
  relay.pass(30_000)
  expect(a.take()).toEqual([])
})

it('the memory that may wait changes at once', () => {
  const relay = new TestRelay({ limits: { writeTimeoutMs: 0 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isStalled = true
  for (let n = 0; n < 300; n++) a.sendPacket(bob, numbered(n)).settled()
  expect(relay.drops).toEqual({})
  change(relay, { writeTimeoutMs: 0, waitingBytesMax: 65_536 })
  relay.pass(2_000)
  expect(Object.keys(relay.drops)).toContain('memory data')
})

it('a new login policy applies to logins from then on', () => {
  const relay = new TestRelay({ admission: admitAll })
  relay.join(alice)
  for (const { relay: thread } of relay.threads) thread.setLoginPolicy(admit(false), [])
  relay.connect(bob).logIn()
  expect(relay.ends).toHaveLength(1)
  for (const { relay: thread } of relay.threads) thread.setLoginPolicy(admitAll, [])
  relay.join(cathy)
  expect(relay.ends).toHaveLength(1)
  expect(relay.count('clientsCurrent')).toBe(2)
})
