// When a drain moves which client, and what a client that does not cooperate can do about it. A relay of one thread under
// a clock that the test moves.

import { expect, it } from 'vitest'
import { actor, alice, bob, cathy } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { packet } from '../vectors/frames.ts'

const MOVE_LINE = 'Restarting 0 ms, 0 ms'

class DrainingRelay extends TestRelay {
  isDone = false

  begin(settleMs: number, spreadMs: number): void {
    this.thread(0).relay.drain({ settleMs, spreadMs }, () => (this.isDone = true))
  }

  /** In steps as short as the drain's. */
  wait(ms: number): void {
    for (let left = ms; left > 0; left -= 25) this.pass(Math.min(left, 25))
  }
}

/** Ends their side as clients do that see the relay's end. */
function follow(clients: readonly MemoryClient[]): void {
  for (const client of clients) if (client.link.isFinished && !client.isClosed) client.hangUp()
}

it('a relay without clients is drained at once', () => {
  const relay = new DrainingRelay()
  relay.joinSibling(actor('sibling'))
  relay.begin(60_000, 60_000)
  expect(relay.isDone).toBe(true)
})

it('a client is told, sent everything, and then ended from this side only', () => {
  const relay = new DrainingRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  relay.begin(1_000, 0)
  relay.wait(900)
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  b.link.isStalled = true
  for (let n = 0; n < 3; n++) a.sendPacket(bob, Buffer.from([n])).settled()
  relay.wait(400)
  // What waits for bob is not lost, and his connection is not ended before he has it.
  expect([a.link.isFinished, b.link.isFinished]).toEqual([true, false])
  b.link.isStalled = false
  relay.settle()
  expect(b.take().sort()).toEqual(
    [MOVE_LINE, ...[0, 1, 2].map((n) => packetLine(alice, Buffer.from([n])))].sort(),
  )
  expect([b.link.isFinished, b.isClosed, relay.isDone]).toEqual([true, false, false])
  follow([a, b])
  relay.wait(100)
  expect(relay.isDone).toBe(true)
  expect(relay.ends.map(({ reason }) => reason)).toEqual(['drained', 'drained'])
  expect([relay.count('drainMoved'), relay.count('drainForced'), relay.drops]).toEqual([2, 0, {}])
})

it('what a client has sent before it saw the end is still forwarded', () => {
  const relay = new DrainingRelay()
  const a = relay.join(alice)
  relay.begin(0, 0)
  relay.wait(150)
  // She comes while the drain is under way, as one whose login was.
  const c = relay.join(cathy)
  expect(a.link.isFinished).toBe(true)
  a.sendPacket(cathy, packet)
  expect(c.take()).toEqual([packetLine(alice, packet)])
  a.hangUp()
  relay.wait(200)
  expect(c.take()).toEqual([MOVE_LINE])
  c.hangUp()
  relay.wait(100)
  expect(relay.isDone).toBe(true)
  expect(relay.count('drainMoved')).toBe(2)
})

it('clients are moved evenly over the time given, idle ones first', () => {
  const relay = new DrainingRelay()
  const idle = Array.from({ length: 50 }, (_, n) => relay.join(actor(`idle ${n}`)))
  const busy = Array.from({ length: 50 }, (_, n) => relay.join(actor(`busy ${n}`)))
  const all = [...busy, ...idle]
  relay.begin(1_000, 2_000)
  for (const client of busy) client.sendPacket(client.actor, packet).settled()
  relay.wait(1_000)
  expect(all.filter(({ link }) => link.isFinished)).toHaveLength(0)
  const moved: number[] = []
  for (let n = 0; n < 4; n++) {
    relay.wait(500)
    follow(all)
    moved.push(relay.count('drainMoved'))
  }
  expect(moved[1]).toBeLessThanOrEqual(50)
  expect(busy.filter(({ isClosed }) => isClosed).length).toBeLessThanOrEqual(55)
  for (const [at, count] of moved.entries()) expect(Math.abs(count - (at + 1) * 25)).toBeLessThanOrEqual(10)
  relay.wait(200)
  follow(all)
  relay.wait(100)
  expect([relay.isDone, relay.count('drainMoved')]).toEqual([true, 100])
})

it('idle clients are done before the first busy one is begun', () => {
  const relay = new DrainingRelay()
  const busy = Array.from({ length: 10 }, (_, n) => relay.join(actor(`busy ${n}`)))
  const idle = Array.from({ length: 10 }, (_, n) => relay.join(actor(`idle ${n}`)))
  relay.begin(500, 2_000)
  for (const client of busy) client.sendPacket(client.actor, packet).settled()
  relay.wait(1_400)
  follow([...busy, ...idle])
  expect(busy.filter(({ isClosed }) => isClosed)).toHaveLength(0)
  expect(idle.filter(({ isClosed }) => isClosed).length).toBeGreaterThan(5)
})

it('clients that do not read, or do not end their side, are cut off in time', () => {
  const relay = new DrainingRelay({ limits: { writeTimeoutMs: 0 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  b.link.isStalled = true
  a.sendPacket(bob, packet).settled()
  relay.begin(0, 0)
  relay.wait(1_500)
  expect([a.isClosed, b.isClosed]).toEqual([false, false])
  relay.wait(200)
  expect([a.isClosed, b.isClosed]).toEqual([true, true])
  relay.wait(700)
  expect([relay.isDone, relay.count('drainForced'), relay.count('drainMoved')]).toEqual([true, 2, 0])
  expect(relay.ends.map(({ reason }) => reason)).toEqual(['drain_forced', 'drain_forced'])
})

it('a client that leaves by itself is counted apart, and a drain does not wait for those that are gone', () => {
  const relay = new DrainingRelay()
  const a = relay.join(alice)
  relay.begin(60_000, 60_000)
  relay.wait(1_000)
  a.hangUp()
  relay.wait(100)
  expect([relay.isDone, relay.count('drainLeft'), relay.count('drainMoved')]).toEqual([true, 1, 0])
})

it('a login that is not over when the last client has left is ended', () => {
  const relay = new DrainingRelay()
  const [a, b] = [relay.join(alice), relay.connect(bob)]
  relay.begin(0, 0)
  relay.wait(150)
  follow([a])
  relay.wait(100)
  expect([relay.isDone, b.isClosed]).toEqual([true, true])
  expect(relay.count('connectionsCurrent')).toBe(0)
})

it('a thousand clients that are due at once are not ended in one turn', () => {
  const relay = new DrainingRelay()
  const clients = Array.from({ length: 200 }, (_, n) => relay.join(actor(`client ${n}`)))
  relay.begin(0, 0)
  relay.clock.advance(150)
  // Turns of the loop, without any time between them.
  const finished: number[] = []
  while (relay.work()) finished.push(clients.filter(({ link }) => link.isFinished).length)
  const steps = finished.map((count, at) => count - (finished[at - 1] ?? 0))
  expect(Math.max(...steps)).toBeLessThanOrEqual(32)
})
