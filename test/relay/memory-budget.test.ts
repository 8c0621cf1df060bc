import { expect, it } from 'vitest'
import { MemoryBudget } from '#relay/memory-budget.ts'
import { Counters } from '#relay/counters.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { EndReason } from '#relay/end-reason.ts'
import { actor, alice, bob, cathy, type Actor } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { packet } from '../vectors/frames.ts'

const MIB = 1_048_576

/** Clients that take nothing; each is sent so many bytes. */
function flooded(relay: TestRelay, count: number, bytesEach: number): MemoryClient[] {
  const sender = relay.join(alice)
  const deaf = Array.from({ length: count }, (_, n) => relay.join(actor(`deaf ${n}`)))
  for (const one of deaf) one.link.isStalled = true
  const piece = Buffer.alloc(32_000)
  for (let sent = 0; sent < bytesEach; sent += piece.length) {
    for (const one of deaf) sender.sendPacket(one.actor, piece)
    relay.settle()
  }
  return deaf
}

it('the bytes that wait in all stay below the limit, and a client with few waiting loses nothing', () => {
  const relay = new TestRelay({ limits: { waitingBytesMax: 16 * MIB } })
  const b = relay.join(bob)
  const deaf = flooded(relay, 200, 600_000)
  const { lentBytes } = relay.thread(0).relay
  expect(lentBytes).toBeLessThan(16 * MIB)
  // The budget must be usable, too.
  expect(lentBytes).toBeGreaterThan(8 * MIB)
  expect(relay.drops['memory data']).toBeGreaterThan(0)
  b.link.isStalled = true
  const c = relay.join(cathy)
  for (let n = 0; n < 10; n++) c.sendPacket(bob, packet).settled()
  b.link.isStalled = false
  expect(b.take().filter((line) => line === packetLine(cathy, packet)).length).toBe(10)
  for (const one of deaf) one.hangUp()
  expect(relay.thread(0).relay.lentBytes).toBe(0)
  relay.sweep()
  expect(relay.count('waitingBytes')).toBe(0)
})

it('below half of the budget each outbox has its whole limit', () => {
  const relay = new TestRelay({ limits: { waitingBytesMax: 64 * MIB } })
  flooded(relay, 20, 450_000)
  expect(relay.drops).toEqual({})
})

it('packets that wait already are dropped in the next sweep, though no more come', () => {
  const relay = new TestRelay({ limits: { waitingBytesMax: 16 * MIB, writeTimeoutMs: 0 } })
  const first = flooded(relay, 14, 500_000)
  const waiting = (): number => relay.count('queuedBytes')
  const before = waiting()
  // Others use up the rest of the budget.
  const others = Array.from({ length: 120 }, (_, n) => relay.join(actor(`other ${n}`)))
  const c = relay.join(cathy)
  for (const one of others) {
    one.link.isStalled = true
    for (let n = 0; n < 5; n++) c.sendPacket(one.actor, Buffer.alloc(20_000)).settled()
  }
  for (let part = 0; part < 8; part++) relay.sweep()
  for (const one of others) one.hangUp()
  expect(first.length).toBe(14)
  expect(waiting()).toBeLessThan(before)
})

/** Sends the first bytes of a login frame of that length. */
function partialLogin(relay: TestRelay, who: Actor, bytes: number, sent: number): MemoryClient {
  const client = relay.connect(who)
  const header = Buffer.from([2, 0, 0, 0, 0])
  header.writeUInt32BE(bytes, 1)
  return client.send(header, Buffer.alloc(sent)).settled()
}

it('incomplete logins use no more than the budget: the largest are ended, real logins go on', () => {
  const relay = new TestRelay({ limits: { waitingBytesMax: 4 * MIB } })
  const half = Array.from({ length: 100 }, (_, n) =>
    partialLogin(relay, actor(`half ${n}`), 262_144, 200_000),
  )
  expect(relay.thread(0).relay.lentBytes).toBeLessThan(5 * MIB)
  expect(relay.ends.filter(({ reason }) => reason === EndReason.memoryShort).length).toBeGreaterThan(80)
  expect(half.filter((one) => !one.isClosed).length).toBeLessThan(20)
  relay.join(bob)
  expect(relay.count('loginsTotal')).toBe(1)
})

it('a client that has sent part of a large frame is ended in a whole sweep when nothing is left, and no other one', () => {
  const relay = new TestRelay({ limits: { waitingBytesMax: 4 * MIB } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  const begun = [
    ...Array.from({ length: 50 }, (_, n) => partialLogin(relay, actor(`half ${n}`), 262_144, 1_000)),
    ...Array.from({ length: 50 }, (_, n) => {
      const frame = sendPacketFrame(bob.key, Buffer.alloc(60_000))
      return relay
        .join(actor(`slow ${n}`))
        .send(frame.subarray(0, 1_000))
        .settled()
    }),
  ]
  for (const one of begun) one.send(Buffer.alloc(50_000)).settled()
  expect(relay.thread(0).relay.lentBytes).toBeGreaterThan(8 * MIB)
  for (let part = 0; part < 8; part++) {
    relay.sweep()
    relay.settle()
  }
  expect(relay.thread(0).relay.lentBytes).toBeLessThan(4 * MIB)
  expect(relay.lastEnd).toBe(EndReason.memoryShort)
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
})

it('bytes that a transport has copied count until the system has taken them, and no longer', () => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isCopying = true
  b.link.isStalled = true
  a.sendPacket(bob, Buffer.alloc(50_000)).settled()
  relay.sweep()
  expect(relay.count('waitingBytes')).toBeGreaterThanOrEqual(50_000)
  b.link.isStalled = false
  relay.settle()
  relay.sweep()
  expect(relay.count('waitingBytes')).toBe(0)
  // The same if the system never takes them.
  b.link.isStalled = true
  a.sendPacket(bob, Buffer.alloc(50_000)).settled()
  b.hangUp()
  relay.sweep()
  expect(relay.count('waitingBytes')).toBe(0)
})

it('a burst that the transport has copied counts until the system has taken it', () => {
  const counters = new Counters()
  const memoryBudget = new MemoryBudget({ bytesMax: 100, pool: { lentBytes: 20 }, counters })
  memoryBudget.addInFlight(55)
  memoryBudget.update()
  expect([memoryBudget.share, memoryBudget.isSpent, counters.get('waitingBytes')]).toEqual([0.5, false, 75])
  memoryBudget.addInFlight(25)
  memoryBudget.update()
  expect([memoryBudget.share, memoryBudget.isSpent]).toEqual([1 / 256, true])
  memoryBudget.addInFlight(-80)
  memoryBudget.update()
  expect([memoryBudget.share, memoryBudget.isSpent]).toEqual([1, false])
})

it('bytes that waited on a thread that has died do not count any more', () => {
  const relay = new TestRelay({ threads: 2 })
  const [a, b] = [relay.join(alice, { thread: 1 }), relay.join(bob, { thread: 1 })]
  b.link.isStalled = true
  a.sendPacket(bob, Buffer.alloc(50_000)).settled()
  relay.sweep()
  expect(relay.count('waitingBytes')).toBeGreaterThanOrEqual(50_000)
  relay.killThread(1)
  expect(relay.count('waitingBytes')).toBe(0)
})
