import { expect, it } from 'vitest'
import { EndReason } from '#relay/end-reason.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import * as keys from '../vectors/keys.ts'
import * as login from '../vectors/login.ts'

const crowd = (relay: TestRelay, count: number): MemoryClient[] =>
  Array.from({ length: count }, (_, n) => relay.join(actor(`crowd ${n}`)))

it('a turn is flushed once, however much it contains', () => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  expect(relay.thread(0).isFlushAsked).toBe(false)
  const asked = relay.thread(0).flushAskCount
  const bursts = [a, b].map((one) => one.link.burstCount)
  for (let n = 0; n < 50; n++) {
    a.sendPacket(bob, packet).send(frames.ping)
    b.sendPacket(alice, packet)
  }
  expect(relay.thread(0).flushAskCount).toBe(asked + 1)
  relay.settle()
  expect([a, b].map((one) => one.link.burstCount)).toEqual(bursts.map((count) => count + 1))
  expect(b.take().length).toBe(50)
})

it('a sweep reaches every session, however many end meanwhile', () => {
  const relay = new TestRelay()
  const sessions = crowd(relay, 101)
  const idle = sessions.filter((_, n) => n % 3 !== 0)
  for (const one of sessions) if (!idle.includes(one)) one.hangUp()
  expect(relay.thread(0).relay.sessionCount).toBe(idle.length)
  relay.pass(67_000)
  for (const one of idle) expect(one.take()).toEqual(['KeepAlive'])
})

it('sessions that are all due to end at once end within a few whole sweeps', () => {
  const relay = new TestRelay()
  for (let n = 0; n < 100; n++) relay.connect(actor(`crowd ${n}`))
  relay.settle()
  relay.pass(10_000)
  expect(relay.thread(0).relay.sessionCount).toBe(100)
  // A session that takes the place of one that ended waits for the next whole sweep.
  relay.pass(8_000)
  expect(relay.thread(0).relay.sessionCount).toBe(0)
  expect(relay.thread(0).counters.ended(EndReason.loginTimeout)).toBe(100)
})

it('ends the selected sessions, each once, and tells the observer their keys', () => {
  const relay = new TestRelay()
  const [a, b, m] = [relay.join(alice), relay.join(bob), relay.joinSibling(sibling)]
  const stranger = relay.connect(cathy).settled()
  m.send(frames.watchConns).take()
  const one = relay.thread(0).relay
  expect(one.endWhere((session) => session.isEstablished, EndReason.shutdown)).toBe(3)
  relay.settle()
  expect([a, b, m, stranger].map((client) => client.isClosed)).toEqual([true, true, true, false])
  expect(one.endWhere(() => true, EndReason.shutdown)).toBe(1)
  relay.settle()
  expect(one.endWhere(() => true, EndReason.shutdown)).toBe(0)
  expect(relay.ends.map(({ key }) => key)).toEqual([alice.key, bob.key, sibling.key, undefined])
  expect(relay.ends.map(({ reason }) => reason)).toEqual(Array.from({ length: 4 }, () => EndReason.shutdown))
  expect(relay.ends[1]?.remote).toEqual(b.link.remote)
  expect(relay.thread(0).counters.ended(EndReason.shutdown)).toBe(4)
})

it('tells the observer which clients have logged in, from where and how, and nothing of others', () => {
  const relay = new TestRelay()
  relay.connect(alice, { wantsAnswer: true }).logIn({ appName: 'app' })
  const b = relay.connect(bob).logIn({ isProber: true })
  relay.connect(sibling, { isWebSocket: true }).logIn({ meshKey: keys.meshKey })
  relay.connect(cathy).send(Buffer.from([2, 0, 0, 0, 56]))
  relay.settle()
  expect(relay.starts).toMatchObject([
    { key: alice.key, way: 'derp', kind: 'client', appName: 'app' },
    { key: bob.key, way: 'fast_start', kind: 'prober', appName: '', remote: b.link.remote },
    { key: sibling.key, way: 'websocket', kind: 'sibling' },
  ])
})

it('a session ends once, for the first reason', () => {
  const relay = new TestRelay()
  const client = relay.join(alice).send(Buffer.from([4, 0, 0, 0, 1]))
  client.link.hangUp(EndReason.remoteReset)
  relay.settle()
  expect(relay.ends.map((end) => end.reason)).toEqual([EndReason.sendPacketLength])
  expect(relay.count('connectionsCurrent')).toBe(0)
})

it('a connection that breaks within a frame leaves nothing behind', () => {
  const relay = new TestRelay()
  const client = relay.join(alice).send(Buffer.from([4, 0, 1, 0, 0, 1, 2, 3]), Buffer.alloc(5_000))
  expect(relay.thread(0).relay.lentBytes).toBeGreaterThan(5_000)
  client.link.hangUp(EndReason.remoteReset)
  relay.settle()
  expect(relay.lastEnd).toBe(EndReason.remoteReset)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

it('an idle session holds no memory of the pool', () => {
  const relay = new TestRelay()
  const sessions = crowd(relay, 20)
  for (const one of sessions) one.sendPacket(alice, packet).send(frames.ping).take()
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})

it('a session does not remember the peers that it has outlived', () => {
  const relay = new TestRelay()
  const b = relay.join(bob)
  for (const one of crowd(relay, 30)) {
    one.sendPacket(bob, packet).settled()
    one.hangUp()
  }
  relay.join(alice).sendPacket(bob, packet)
  expect(b.take().filter((line) => line.startsWith('PeerGone')).length).toBe(30)
  const remembered: number[] = []
  relay.thread(0).relay.endWhere((session) => {
    remembered.push(session.packetSources?.size ?? 0)
    return false
  }, EndReason.shutdown)
  expect(remembered).toEqual([1, 0])
})

it('gauges count clients by kind, and return to zero', () => {
  const relay = new TestRelay()
  const clients = [
    relay.connect(alice, { isWebSocket: true }).logIn(),
    relay.connect(bob, { idealNode: '900a' }).logIn({ isProber: true }),
    relay.connect(cathy).send(login.clientInfo.frame.subarray(0, 20)),
  ]
  relay.settle()
  const gauges = [
    'connectionsCurrent',
    'clientsCurrent',
    'clientsWebSocket',
    'clientsNotIdeal',
    'clientsProber',
    'keysCurrent',
  ] as const
  expect(gauges.map((name) => relay.count(name))).toEqual([3, 2, 1, 1, 1, 2])
  expect(relay.count('loginsTotal')).toBe(2)
  for (const one of clients) one.hangUp()
  expect(gauges.map((name) => relay.count(name))).toEqual([0, 0, 0, 0, 0, 0])
})

it('frames that were queued before the relay ends a session are still sent', () => {
  const relay = new TestRelay()
  const [a, b] = [relay.join(alice), relay.join(bob)]
  a.send(frames.sendPacket)
  relay.thread(0).relay.flushQueue.flush()
  relay.thread(0).relay.endWhere((session) => session.remote === b.link.remote, EndReason.shutdown)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(b.isClosed).toBe(true)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
})
