import { describe, expect, it } from 'vitest'
import { forwardPacketFrame, sendPacketFrame } from '#protocol/frames.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { alice, bob, cathy, nameOf, sibling } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { disco, frames, largestFrames, largestPacket, packet } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'
import * as login from '../vectors/login.ts'

/** Every packet that came in has gone out, waits, or was dropped and counted. */
function expectBalance(relay: TestRelay): void {
  const received = relay.count('receivedData') + relay.count('receivedDisco') + relay.count('forwardedIn')
  const sent = relay.count('sentData') + relay.count('sentDisco')
  const dropped = Object.values(relay.drops).reduce((sum, count) => sum + count, 0)
  expect(received).toBe(sent + dropped + relay.count('queuedPackets'))
  expect(relay.count('sentToThreads')).toBe(relay.count('receivedFromThreads'))
}

// The same with sender and receiver on one thread and on different ones.
describe.each([
  ['on one thread', 1],
  ['across threads', 3],
])('%s', (_where, threads) => {
  interface Clients {
    readonly relay: TestRelay
    readonly a: MemoryClient
    readonly b: MemoryClient
    readonly m: MemoryClient
  }

  /** Alice on the first thread, bob on the last, a sibling between them. */
  function connectAll(): Clients {
    const relay = new TestRelay({ threads })
    const a = relay.join(alice)
    const b = relay.join(bob, { thread: threads - 1 })
    const m = relay.joinSibling(sibling, { thread: Math.floor(threads / 2) })
    return { relay, a, b, m }
  }

  it.each([0, 1, 61, 62, 63, 1_280, 65_535, 65_536])('a packet of %i bytes arrives intact', (bytes) => {
    const { relay, a, b, m } = connectAll()
    const sent = bytesFrom(bytes, bytes)
    expect(a.sendPacket(bob, sent).take()).toEqual([])
    expect(b.take()).toEqual([packetLine(alice, sent)])
    m.send(forwardPacketFrame(cathy.key, bob.key, sent))
    expect(b.take()).toEqual([packetLine(cathy, sent)])
    expect(relay.drops).toEqual({})
    expect(relay.count('receivedBytesData')).toBe(bytes)
    expect(relay.count('sentBytesData')).toBe(2 * bytes)
    expectBalance(relay)
  })

  it('the published largest packet arrives as published', () => {
    const { a, b } = connectAll()
    const frame = sendPacketFrame(bob.key, largestPacket())
    expect(sha256(frame).toString('hex')).toBe(largestFrames.sendPacketSha256)
    const before = b.received.length
    a.send(frame).settled()
    expect(sha256(Buffer.concat(b.received.slice(before))).toString('hex')).toBe(
      largestFrames.recvPacketSha256,
    )
  })

  it('a disco message is recognised by its magic and its length', () => {
    const { relay, a, b } = connectAll()
    const short = disco.message.subarray(0, 61)
    const other = Buffer.from(disco.message)
    other[5] = 0
    a.sendPacket(bob, disco.message).sendPacket(bob, short).sendPacket(bob, other)
    expect(b.take()).toEqual([disco.message, short, other].map((one) => packetLine(alice, one)))
    expect([relay.count('receivedDisco'), relay.count('receivedData')]).toEqual([1, 2])
    expect([relay.count('sentDisco'), relay.count('sentData')]).toEqual([1, 2])
    expect(relay.count('receivedBytesDisco')).toBe(62)
  })

  it('a packet to oneself comes back', () => {
    const { a, b } = connectAll()
    expect(a.sendPacket(alice, packet).take()).toEqual([packetLine(alice, packet)])
    expect(b.sendPacket(bob, packet).take()).toEqual([packetLine(bob, packet)])
  })

  it('ten thousand packets arrive in order, none lost, with thirty under way at a time', () => {
    const { relay, a, b } = connectAll()
    const expected: string[] = []
    const arrived: string[] = []
    for (let n = 0; n < 10_000; n++) {
      const numbered = Buffer.from(`packet ${n}`)
      a.sendPacket(bob, numbered)
      expected.push(packetLine(alice, numbered))
      if (n % 30 === 29) arrived.push(...b.take())
    }
    arrived.push(...b.take())
    expect(arrived).toEqual(expected)
    expectBalance(relay)
  })

  it('a data packet to an unknown key is dropped without an answer', () => {
    const { relay, a } = connectAll()
    expect(a.sendPacket(cathy, packet).take()).toEqual([])
    expect(relay.drops).toEqual({ 'unknown_dest data': 1 })
    expectBalance(relay)
  })

  it('a disco message to an unknown key is answered three times, then once a second', () => {
    const { relay, a, b } = connectAll()
    const answer = 'PeerGone cathy not here'
    const flood = (): string[] => {
      for (let n = 0; n < 10; n++) a.sendPacket(cathy, disco.message).sendPacket(cathy, packet)
      return a.take()
    }
    expect(flood()).toEqual([answer, answer, answer])
    relay.clock.advance(999)
    expect(flood()).toEqual([])
    relay.clock.advance(1)
    expect(flood()).toEqual([answer])
    relay.clock.advance(60_000)
    expect(flood()).toEqual([answer, answer, answer])
    // Each connection has its own limit.
    expect(b.sendPacket(cathy, disco.message).take()).toEqual([answer])
    expect(relay.count('peerGoneNotHere')).toBe(8)
    expect(relay.drops).toEqual({ 'unknown_dest data': 40, 'unknown_dest disco': 41 })
    expectBalance(relay)
  })

  it('a forwarded packet has the stated source, is counted apart, and is never forwarded again', () => {
    const { relay, a, b, m } = connectAll()
    const other = relay.joinSibling(cathy).send(frames.watchConns)
    other.take()
    m.send(frames.forwardPacket)
    expect(b.take()).toEqual([packetLine(alice, packet)])
    m.send(forwardPacketFrame(alice.key, unknownKey, packet))
    expect([a, b, other].flatMap((client) => client.take())).toEqual([])
    expect(m.take()).toEqual([`PeerGone ${nameOf(unknownKey)} not here`])
    expect(relay.drops).toEqual({ 'unknown_dest_on_fwd data': 1 })
    expect([relay.count('forwardedIn'), relay.count('receivedData')]).toEqual([2, 0])
    expect(relay.count('sentData')).toBe(1)
    expectBalance(relay)
  })

  it('whatever a sibling forwards for an unknown key is answered to it, up to a hundred at once', () => {
    const { relay, m } = connectAll()
    m.send(forwardPacketFrame(alice.key, cathy.key, disco.message))
    for (let n = 1; n < 130; n++) m.send(forwardPacketFrame(alice.key, cathy.key, packet))
    expect(m.take()).toEqual(Array.from({ length: 100 }, () => 'PeerGone cathy not here'))
    expect(relay.drops).toEqual({ 'unknown_dest_on_fwd disco': 1, 'unknown_dest_on_fwd data': 129 })
  })

  it('a forwarded packet with an all-zero source is dropped', () => {
    const { relay, b, m } = connectAll()
    m.send(forwardPacketFrame(new Uint8Array(32), bob.key, packet))
    expect(b.take()).toEqual([])
    expect(relay.drops).toEqual({ 'source_invalid data': 1 })
    expectBalance(relay)
  })

  it('the recipient of a forwarded packet is told when its source leaves, if that is connected here', () => {
    const { a, b, m } = connectAll()
    m.send(frames.forwardPacket).settled()
    b.take()
    a.hangUp()
    expect(b.take()).toEqual(['PeerGone alice disconnected'])
  })

  it('a destination that has come back is found again', () => {
    const { relay, a, b } = connectAll()
    a.send(frames.sendPacket).settled()
    b.take()
    b.hangUp()
    a.send(frames.sendPacket).settled()
    expect(relay.drops).toEqual({ 'unknown_dest data': 1 })
    const again = relay.join(bob)
    a.send(frames.sendPacket)
    expect(again.take()).toEqual([packetLine(alice, packet)])
    expectBalance(relay)
  })

  it('packets to several destinations in one piece each find theirs, with one burst per destination', () => {
    const { relay, a, b } = connectAll()
    const c = relay.join(cathy, { thread: threads - 1 })
    const bursts = [b, c].map((client) => client.link.burstCount)
    const parts = Array.from({ length: 60 }, (_, n) =>
      sendPacketFrame(n % 3 === 0 ? cathy.key : bob.key, Buffer.from(`packet ${n}`)),
    )
    a.send(...parts)
    const line = (n: number): string => packetLine(alice, Buffer.from(`packet ${n}`))
    const all = Array.from({ length: 60 }, (_, n) => n)
    expect(b.take()).toEqual(all.filter((n) => n % 3 !== 0).map((n) => line(n)))
    expect(c.take()).toEqual(all.filter((n) => n % 3 === 0).map((n) => line(n)))
    expect([b, c].map((client) => client.link.burstCount)).toEqual(bursts.map((count) => count + 1))
  })
})

/** A key that no client here has. */
const unknownKey = sha256('nobody')

it('a packet to another thread for a key which has left meanwhile is counted as dropped', () => {
  const relay = new TestRelay({ threads: 2 })
  const [a, b] = [relay.join(alice), relay.join(bob, { thread: 1 })]
  relay.settle()
  // The packet is on its way when bob's thread notices that he has left.
  a.send(frames.sendPacket)
  b.link.hangUp()
  relay.settle()
  expect(relay.drops).toEqual({ 'gone_disconnected data': 1 })
  expectBalance(relay)
})

describe('when more is sent to another thread than it reads', () => {
  const sent = Array.from({ length: 60 }, (_, n) => bytesFrom(n, 60_000))

  function twoThreads() {
    const relay = new TestRelay({ threads: 2, limits: { outboxBytesMax: Infinity } })
    return { relay, a: relay.join(alice), b: relay.join(bob, { thread: 1 }), c: relay.join(cathy) }
  }

  it('clients are read more slowly, and no packet is dropped', () => {
    const { relay, a, b } = twoThreads()
    for (const one of sent) a.sendPacket(bob, one)
    expect(a.link.isPaused).toBe(true)
    const arrived = b.take()
    for (let n = 0; n < 10; n++) {
      relay.pass(2)
      arrived.push(...b.take())
    }
    expect(arrived).toEqual(sent.map((one) => packetLine(alice, one)))
    expect(a.link.isPaused).toBe(false)
    expect(relay.drops).toEqual({})
    expectBalance(relay)
  })

  it('no client waits for a thread that is stuck: packets that do not fit are dropped, others go on', () => {
    const { relay, a, b, c } = twoThreads()
    relay.thread(1).isStuck = true
    for (const one of sent) a.sendPacket(bob, one)
    a.sendPacket(cathy, packet)
    relay.pass(90)
    expect(c.take()).toEqual([])
    relay.pass(30)
    expect(c.take()).toEqual([packetLine(alice, packet)])
    relay.thread(1).isStuck = false
    relay.settle()
    const fitting = Math.floor(1_048_576 / (60_000 + 69))
    expect(b.take()).toEqual(sent.slice(0, fitting).map((one) => packetLine(alice, one)))
    expect(relay.drops).toEqual({ 'queue_thread data': sent.length - fitting })
    a.sendPacket(bob, packet)
    expect(b.take()).toEqual([packetLine(alice, packet)])
    expectBalance(relay)
  })

  it('no client waits for a thread that has died', () => {
    const { relay, a, c } = twoThreads()
    relay.thread(1).isStuck = true
    for (const one of sent) a.sendPacket(bob, one)
    a.sendPacket(cathy, packet)
    expect(c.take()).toEqual([])
    relay.killThread(1)
    expect(c.take()).toEqual([packetLine(alice, packet)])
    const lost = Object.values(relay.drops).reduce((sum, count) => sum + count)
    expect(lost).toBe(sent.length)
  })

  it("siblings, which carry many clients' packets, are not paused", () => {
    const { relay, b } = twoThreads()
    const mesh = relay.joinSibling(sibling)
    for (const one of sent) mesh.send(forwardPacketFrame(alice.key, bob.key, one))
    const fitting = Math.floor(1_048_576 / (60_000 + 69))
    expect(b.take()).toEqual(sent.slice(0, fitting).map((one) => packetLine(alice, one)))
    expect(relay.drops).toEqual({ 'queue_thread data': sent.length - fitting })
    expectBalance(relay)
  })
})

it('a receiver that takes nothing loses its oldest data, not its disco messages, and no other client loses anything', () => {
  const relay = new TestRelay({ limits: { outboxPacketsMax: 32, writeTimeoutMs: 0 } })
  const [a, b, c] = [relay.join(alice), relay.join(bob), relay.join(cathy)]
  const numbered = (n: number): Buffer => Buffer.from(`packet ${n}`)
  a.sendPacket(bob, numbered(0)).settled()
  b.take()
  b.link.isStalled = true
  a.sendPacket(bob, numbered(1)).settled()
  for (let n = 2; n < 40; n++) a.sendPacket(bob, numbered(n)).sendPacket(cathy, numbered(n)).settled()
  for (let n = 0; n < 5; n++) a.sendPacket(bob, disco.message)
  expect(c.take().length).toBe(38)
  expect(relay.drops).toEqual({ 'queue_head data': 6 })
  b.link.isStalled = false
  const data = Array.from({ length: 32 }, (_, n) => packetLine(alice, numbered(8 + n)))
  const messages = Array.from({ length: 5 }, () => packetLine(alice, disco.message))
  expect(b.take()).toEqual([packetLine(alice, numbered(1)), ...messages, ...data])
  expectBalance(relay)
})

it('login, home note and packet in one piece are served at once', () => {
  const relay = new TestRelay()
  const b = relay.join(bob)
  relay.connect(alice).send(login.clientInfo.frame, frames.notePreferredYes, frames.sendPacket)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(relay.count('clientsHome')).toBe(1)
})
