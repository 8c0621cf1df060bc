import { expect, it } from 'vitest'
import { forwardPacketFrame, sendPacketFrame } from '#protocol/frames.ts'
import { EndReason } from '#relay/end-reason.ts'
import { SessionList, type ListedSession } from '#relay/session-list.ts'
import { actor, alice, bob, sibling } from '../support/actor.ts'
import { Random } from '../simulation/random.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

it('a thousand connections that send nothing are all ended within a second after their ten', () => {
  const relay = new TestRelay()
  const good = relay.join(alice)
  const silent = Array.from({ length: 1_000 }, (_, n) => relay.connect(actor(`silent ${n % 10}`)))
  relay.pass(9_900)
  expect(silent.filter((one) => one.isClosed).length).toBe(0)
  relay.pass(500)
  expect(silent.filter((one) => !one.isClosed).length).toBe(0)
  expect(relay.ends.every(({ reason }) => reason === EndReason.loginTimeout)).toBe(true)
  expect(good.isClosed).toBe(false)
})

it('no more than a few dozen of them are ended per turn', () => {
  const relay = new TestRelay()
  for (let n = 0; n < 1_000; n++) relay.connect(actor(`silent ${n % 10}`))
  relay.settle()
  relay.clock.advance(10_001)
  const perTurn: number[] = []
  relay.sweep()
  do perTurn.push(relay.ends.length - perTurn.reduce((sum, ended) => sum + ended, 0))
  while (relay.work())
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(64)
  expect(relay.ends.length).toBe(1_000)
})

it('hundreds of clients that stop taking bytes are all ended in one whole sweep, a few dozen per turn', () => {
  const relay = new TestRelay()
  const b = relay.join(bob)
  const stalled = Array.from({ length: 300 }, (_, n) => relay.join(actor(`stalled ${n}`)))
  for (const one of stalled) {
    one.link.isStalled = true
    b.sendPacket(one.actor, packet)
  }
  relay.settle()
  relay.clock.advance(2_001)
  relay.sweep()
  expect(relay.ends.length).toBeLessThanOrEqual(64)
  for (let part = 1; part < 8; part++) {
    relay.settle()
    relay.sweep()
  }
  relay.settle()
  expect(relay.ends.filter(({ reason }) => reason === EndReason.writeStalled).length).toBe(300)
  expect(b.send(frames.ping).take()).toContain('Pong <0102030405060708>')
})

/** A clock that advances whenever it is read. */
function busyClock(): FakeClock {
  const clock = new FakeClock()
  const still = clock.now
  return Object.assign(clock, {
    now: () => {
      clock.advance(0.25)
      return still()
    },
  })
}

it('logins that come at once are done a few per turn, and packets sent behind them arrive', () => {
  const relay = new TestRelay({ clock: busyClock() })
  const b = relay.join(bob)
  const clients = Array.from({ length: 60 }, (_, n) => relay.connect(actor(`client ${n}`)))
  const mesh = relay.connect(sibling)
  relay.settle()
  for (const one of clients) one.send(one.clientInfo(), sendPacketFrame(bob.key, packet))
  mesh.send(mesh.clientInfo({ meshKey }), forwardPacketFrame(alice.key, bob.key, packet))
  const perTurn: number[] = []
  do perTurn.push(relay.count('loginsTotal') - 1 - perTurn.reduce((sum, done) => sum + done, 0))
  while (relay.work())
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(10)
  expect(relay.count('loginsTotal')).toBe(62)
  expect(b.take()).toEqual([
    ...clients.map((one) => packetLine(one.actor, packet)),
    packetLine(alice, packet),
  ])
})

it('a client that leaves while its login waits is not logged in', () => {
  const relay = new TestRelay({ clock: busyClock() })
  const clients = Array.from({ length: 60 }, (_, n) => relay.connect(actor(`client ${n}`)))
  relay.settle()
  for (const one of clients) one.send(one.clientInfo())
  clients.at(-1)?.link.hangUp()
  relay.settle()
  expect([relay.count('loginsTotal'), relay.count('keysCurrent')]).toEqual([59, 59])
  expect(relay.lastEnd).toBe(EndReason.remoteClosed)
})

it("each client's round trip is read once a minute, and no more than one at once", () => {
  const relay = new TestRelay()
  const joined = Array.from({ length: 50 }, (_, n) => relay.join(actor(`client ${n}`)))
  for (const { link } of joined) link.roundTripSeconds = 0.03
  const counts: number[] = []
  const buckets = (): readonly number[] => relay.threads[0]?.counters.histogram('roundTrip').counts ?? []
  const count = (): number => buckets().reduce((sum, one) => sum + one, 0)
  for (let sweep = 0; sweep < 1_000; sweep++) {
    const before = count()
    relay.sweep()
    counts.push(count() - before)
  }
  expect(Math.max(...counts)).toBe(1)
  // Up to 20 ms, up to 50 ms.
  expect(buckets().slice(1, 3)).toEqual([0, 50])
})

/** A session that is due when the test says so. */
class Listed implements ListedSession {
  listedAt = -1
  readonly isEstablished = true
  dueMs = 0
  looks = 0
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  endIfOverdue(): boolean {
    return false
  }

  freeMemory(): void {}

  sweep(nowMs: number): number {
    this.looks++
    return (this.dueMs = this.#random.chance(1 / 3) ? 0 : nowMs + this.#random.between(0, 5_000))
  }
}

it('whoever comes, goes and is written to: a whole sweep looks at those that are due, once, and at no other', () => {
  const random = new Random(7)
  let nowMs = 1
  const parts = { now: () => nowMs, later: () => undefined, isMemoryShort: () => false }
  const list = new SessionList<Listed>(parts)
  const listed: Listed[] = []
  let idle = 0
  for (let round = 0; round < 300; round++) {
    for (let n = random.between(0, 20); n > 0; n--) {
      const one = new Listed(random)
      listed.push(one)
      list.add(one)
    }
    for (let n = random.between(0, 16); n > 0 && listed.length > 0; n--) {
      const at = random.between(0, listed.length - 1)
      const one = listed[at] as Listed
      if (random.chance(1 / 2)) {
        list.markDue(one)
        one.dueMs = 0
      } else {
        list.delete(one)
        listed.splice(at, 1)
      }
    }
    nowMs += random.between(0, 1_000)
    const expected = listed.map((one) => one.looks + (one.dueMs <= nowMs ? 1 : 0))
    idle += listed.filter((one) => one.dueMs > nowMs).length
    for (let part = 0; part < 8; part++) list.sweep()
    expect(listed.map((one) => one.looks)).toEqual(expected)
  }
  expect(list.size).toBe(listed.length)
  expect(listed.length).toBeGreaterThan(256)
  expect(idle).toBeGreaterThan(10_000)
})
