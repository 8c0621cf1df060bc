import { describe, expect, it } from 'vitest'
import { FrameType } from '#protocol/frame-type.ts'
import { closePeerFrame, forwardPacketFrame } from '#protocol/frames.ts'
import { frame } from '#protocol/handshake.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { EndReason } from '#relay/end-reason.ts'
import { actor, alice, bob, cathy, server, sibling } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

const fromAlice = packetLine(alice, packet)
const aliceGone = 'PeerGone alice disconnected'

// Each rule is tested on one thread, and with the sessions of one key, the recipients and the watchers on different
// threads.
describe.each([
  ['on one thread', 1],
  ['on three threads', 3],
])('%s', (_where, threads) => {
  const [first, second, third] = [0, 1 % threads, 2 % threads]

  function relayWithAlice(): { relay: TestRelay; a: MemoryClient } {
    const relay = new TestRelay({ threads })
    return { relay, a: relay.join(alice, { thread: third }) }
  }

  /** Which of bob's sessions receives a packet now; checks that no other does. */
  function receiver(a: MemoryClient, sessions: readonly MemoryClient[]): number {
    for (const session of sessions) session.take()
    a.send(frames.sendPacket)
    const receivers = sessions.flatMap((session, at) => (session.take().includes(fromAlice) ? [at] : []))
    expect(receivers.length).toBeLessThanOrEqual(1)
    return receivers[0] ?? -1
  }

  const duplicates = (relay: TestRelay): number[] =>
    (['duplicateKeys', 'duplicateSessions', 'duplicatesTotal'] as const).map((name) => relay.count(name))

  it('a second login with a key receives from then on, the first when it sends any frame', () => {
    const { relay, a } = relayWithAlice()
    const old = relay.join(bob, { thread: first })
    expect(receiver(a, [old])).toBe(0)
    const recent = relay.join(bob, { thread: second })
    const both = [old, recent]
    expect(receiver(a, both)).toBe(1)
    expect(duplicates(relay)).toEqual([1, 2, 1])
    const activities = [
      frames.unknown,
      frames.pong,
      frames.notePreferredYes,
      frames.ping,
      frame(FrameType.sendPacket, cathy.key),
    ]
    for (const activity of activities) {
      old.send(activity).settled()
      expect(receiver(a, both)).toBe(0)
      recent.send(activity).settled()
      expect(receiver(a, both)).toBe(1)
    }
  })

  it('a frame counts as activity from its header on', () => {
    const { relay, a } = relayWithAlice()
    const old = relay.join(bob, { thread: first })
    const both = [old, relay.join(bob, { thread: second })]
    old.send(Buffer.from([0x7e, 0, 0, 0]))
    expect(receiver(a, both)).toBe(1)
    old.send(Buffer.from([50])).settled()
    expect(receiver(a, both)).toBe(0)
  })

  it('when the active session leaves, the one that was active before it takes over, and no PeerGone is sent', () => {
    const { relay, a } = relayWithAlice()
    const watcher = relay.joinSibling(sibling, { thread: second }).send(frames.watchConns)
    const recipient = relay.join(cathy, { thread: first })
    const bobs = [first, second, third].map((thread) => relay.join(bob, { thread }))
    bobs[0]?.sendPacket(cathy, packet)
    expect(recipient.take()).toEqual([packetLine(bob, packet)])
    watcher.take()
    // In order of activity: 1, 2, 0.
    expect(receiver(a, bobs)).toBe(0)
    bobs[0]?.hangUp()
    expect(receiver(a, bobs)).toBe(2)
    bobs[2]?.hangUp()
    expect(receiver(a, bobs)).toBe(1)
    expect(duplicates(relay)).toEqual([0, 0, 2])
    expect([...recipient.take(), ...watcher.take()]).toEqual([])
    bobs[1]?.hangUp()
    expect(recipient.take()).toEqual(['PeerGone bob disconnected'])
    expect(watcher.take()).toEqual(['PeerGone bob disconnected'])
    expect(receiver(a, bobs)).toBe(-1)
  })

  it('falls back to the most recently active session, on whichever thread, not to one of the same thread', () => {
    const { relay, a } = relayWithAlice()
    const bobs = [first, second, first].map((thread) => relay.join(bob, { thread }))
    expect(receiver(a, bobs)).toBe(2)
    bobs[2]?.hangUp()
    expect(receiver(a, bobs)).toBe(1)
    bobs[1]?.hangUp()
    expect(receiver(a, bobs)).toBe(0)
  })

  it('a session that is not active leaves without any change for the others', () => {
    const { relay, a } = relayWithAlice()
    const bobs = [first, second, third].map((thread) => relay.join(bob, { thread }))
    bobs[1]?.send(frames.ping)
    expect(receiver(a, bobs)).toBe(1)
    bobs[0]?.hangUp()
    expect(receiver(a, bobs)).toBe(1)
    expect(duplicates(relay)).toEqual([1, 2, 2])
    bobs[2]?.hangUp()
    expect(receiver(a, bobs)).toBe(1)
    expect(duplicates(relay)).toEqual([0, 0, 2])
  })

  it('all sessions of a key are read and answered', () => {
    const { relay } = relayWithAlice()
    const c = relay.join(cathy)
    const bobs = [first, second].map((thread) => relay.join(bob, { thread }))
    for (const one of bobs) {
      one.sendPacket(cathy, packet)
      expect(c.take()).toEqual([packetLine(bob, packet)])
      expect(one.send(frames.ping).take()).toEqual(['Pong <0102030405060708>'])
    }
    relay.pass(70_000)
    // One of them out of turn: see duplicate-watch.test.ts.
    for (const one of bobs)
      expect(one.take()).toEqual(['KeepAlive', expect.stringContaining('Health'), 'KeepAlive'])
  })

  it('a client that received from a peer is told that it left; one that only sent to it is not', () => {
    const { relay, a } = relayWithAlice()
    const [b, c] = [relay.join(bob, { thread: first }), relay.join(cathy, { thread: second })]
    a.send(frames.sendPacket, frames.sendPacket)
    expect(b.take()).toEqual([fromAlice, fromAlice])
    c.sendPacket(alice, packet)
    expect(a.take()).toEqual([packetLine(cathy, packet)])
    a.hangUp()
    expect(b.take()).toEqual([aliceGone])
    expect(c.take()).toEqual([])
    expect(relay.count('peerGoneDisconnected')).toBe(1)
  })

  it('a second departure is told, too, once a packet was received again', () => {
    const { relay, a } = relayWithAlice()
    const b = relay.join(bob, { thread: first })
    a.send(frames.sendPacket).settled()
    a.hangUp()
    expect(b.take()).toEqual([fromAlice, aliceGone])
    relay.join(alice, { thread: second }).hangUp()
    expect(b.take()).toEqual([])
    const again = relay.join(alice, { thread: second }).send(frames.sendPacket)
    expect(b.take()).toEqual([fromAlice])
    again.hangUp()
    expect(b.take()).toEqual([aliceGone])
  })

  it('a reconnect before the old connection ends is not told as a departure', () => {
    const { relay, a } = relayWithAlice()
    const b = relay.join(bob, { thread: first })
    const watcher = relay.joinSibling(sibling, { thread: first }).send(frames.watchConns)
    a.send(frames.sendPacket).settled()
    for (const one of [b, watcher]) one.take()
    const again = relay.join(alice, { thread: second })
    a.hangUp()
    expect(b.take()).toEqual([])
    expect(watcher.take()).toEqual([expect.stringMatching(/^PeerPresent alice/)])
    again.send(frames.sendPacket)
    expect(b.take()).toEqual([fromAlice])
    again.hangUp()
    expect(b.take()).toEqual([aliceGone])
  })

  it('a reconnect is no departure even before its threads have read of each other', () => {
    const { relay, a } = relayWithAlice()
    const recipients = [first, second, third].map((thread, n) =>
      relay.join(actor(`recipient ${n}`), { thread }),
    )
    for (const one of recipients) a.sendPacket(one.actor, packet)
    for (const one of recipients) expect(one.take()).toEqual([fromAlice])
    const again = relay.connect(alice, { thread: second })
    relay.settle()
    // From here on no thread flushes or reads until both have happened.
    again.send(again.clientInfo())
    a.link.hangUp()
    expect(recipients.flatMap((one) => one.take())).toEqual([])
    again.sendPacket(bob, packet)
    again.hangUp()
    expect(recipients.flatMap((one) => one.take())).toEqual([aliceGone, aliceGone, aliceGone])
  })

  it('a client that has left is told nothing and not remembered', () => {
    const { relay, a } = relayWithAlice()
    const b = relay.join(bob, { thread: first })
    a.send(frames.sendPacket).settled()
    b.hangUp()
    const again = relay.join(bob, { thread: first })
    a.hangUp()
    expect(again.take()).toEqual([])
    expect(relay.count('peerGoneDisconnected')).toBe(0)
  })

  it('a watcher is told of every key that is here, its own included, and then of every change in order', () => {
    const { relay, a } = relayWithAlice()
    const b = relay.connect(bob, { thread: first, ip: '2001:db8::7', port: 443, idealNode: '900a' })
    b.logIn({ isProber: true, appName: 'an app' }).take()
    const m = relay.connect(sibling, { thread: second, ip: '198.51.100.9', port: 50_001 })
    m.logIn({ meshKey }).take()
    const here = m.send(frames.watchConns).take()
    expect(here.toSorted()).toEqual([
      'PeerPresent alice 192.0.2.1:40000 flags 1',
      'PeerPresent bob 2001:db8::7:443 flags 12 app an app',
      'PeerPresent sibling 198.51.100.9:50001 flags 2',
    ])
    expect(relay.count('watchersCurrent')).toBe(1)

    const c = relay.connect(cathy, { thread: third, ip: '203.0.113.7', port: 1 }).logIn()
    relay.connect(cathy, { thread: third, ip: '203.0.113.7', port: 2 }).logIn().hangUp()
    c.hangUp()
    a.hangUp()
    relay.connect(alice, { thread: third, ip: '203.0.113.7', port: 3 }).logIn()
    expect(m.take()).toEqual([
      'PeerPresent cathy 203.0.113.7:1 flags 1',
      'PeerPresent cathy 203.0.113.7:2 flags 1',
      'PeerGone cathy disconnected',
      'PeerGone alice disconnected',
      'PeerPresent alice 203.0.113.7:3 flags 1',
    ])
    m.hangUp()
    expect(relay.count('watchersCurrent')).toBe(0)
  })

  it('subscribing twice lists the keys twice, and tells each change once', () => {
    const { relay, a } = relayWithAlice()
    const m = relay.joinSibling(sibling, { thread: first })
    expect(m.send(frames.watchConns).take().length).toBe(2)
    expect(m.send(frames.watchConns).take().length).toBe(2)
    expect(relay.count('watchersCurrent')).toBe(1)
    a.hangUp()
    expect(m.take()).toEqual([aliceGone])
  })

  it('a watcher is told that a peer left whether or not it received from it', () => {
    const { relay, a } = relayWithAlice()
    const m = relay.joinSibling(sibling, { thread: first }).send(frames.watchConns)
    const b = relay.join(bob, { thread: first })
    m.take()
    b.hangUp()
    expect(m.take()).toEqual(['PeerGone bob disconnected'])
    a.sendPacket(sibling, packet).settled()
    a.hangUp()
    expect(m.take().filter((line) => line === aliceGone).length).toBeGreaterThan(0)
  })

  it('a watcher with the own key of the relay is told nothing', () => {
    const { relay, a } = relayWithAlice()
    const self = relay.joinSibling(server, { thread: first }).send(frames.watchConns)
    a.hangUp()
    expect(self.take()).toEqual([])
    expect(self.isClosed).toBe(false)
    expect(relay.count('watchersCurrent')).toBe(0)
  })

  it('ClosePeer ends every session of the key without a frame, and does nothing if there is none', () => {
    const { relay, a } = relayWithAlice()
    const bobs = [first, second, third, third].map((thread) => relay.join(bob, { thread }))
    const m = relay.joinSibling(sibling, { thread: first }).send(frames.watchConns)
    m.take()
    m.send(closePeerFrame(cathy.key))
    expect(m.take()).toEqual([])
    m.send(frames.closePeer)
    expect(m.take()).toEqual(['PeerGone bob disconnected'])
    expect(bobs.map((one) => one.isClosed)).toEqual([true, true, true, true])
    expect(bobs.flatMap((one) => one.take())).toEqual([])
    expect(relay.ends.every((end) => end.reason === EndReason.closedBySibling)).toBe(true)
    expect([a, m].map((one) => one.isClosed)).toEqual([false, false])
  })

  it('ClosePeer of a sibling that kicks are not taken from changes nothing, and is counted', () => {
    const relay = new TestRelay({ threads, kicksFrom: [publicKeyText(cathy.key)] })
    const clients = [first, third].map((thread) => relay.join(bob, { thread }))
    const m = relay.joinSibling(sibling, { thread: first }).send(frames.closePeer)
    expect(m.take()).toEqual([])
    expect([m, ...clients].map((one) => one.isClosed)).toEqual([false, false, false])
    // As relays of ours do at login.
    m.send(closePeerFrame(new Uint8Array(32))).settled()
    expect(relay.count('closePeersRefused')).toBe(1)
    relay.joinSibling(cathy, { thread: second }).send(frames.closePeer).settled()
    expect(clients.map((one) => one.isClosed)).toEqual([true, true])
    expect(relay.count('closePeersRefused')).toBe(1)
  })

  it('a sibling that closes its own key ends at once', () => {
    const { relay } = relayWithAlice()
    const m = relay.joinSibling(sibling, { thread: first })
    const b = relay.join(bob, { thread: first })
    m.send(closePeerFrame(sibling.key), forwardPacketFrame(alice.key, bob.key, packet))
    expect(b.take()).toEqual([])
    expect(m.isClosed).toBe(true)
  })

  it('keys and sessions are counted once, however they are spread over threads', () => {
    const { relay, a } = relayWithAlice()
    const bobs = [second, first, third, first].map((thread) => relay.join(bob, { thread }))
    const counted = (): number[] => [relay.count('keysCurrent'), relay.count('clientsCurrent')]
    expect(counted()).toEqual([2, 5])
    expect(relay.threads.map(({ relay: one }) => one.keyCount)).toEqual(
      Array.from({ length: threads }, () => 2),
    )
    bobs[1]?.hangUp()
    bobs[3]?.hangUp()
    expect(counted()).toEqual([2, 3])
    for (const one of [...bobs, a]) one.hangUp()
    expect(counted()).toEqual([0, 0])
    expect(duplicates(relay).slice(0, 2)).toEqual([0, 0])
    expect(relay.threads.map(({ relay: one }) => one.keyCount + one.sessionCount + one.lentBytes)).toEqual(
      Array.from({ length: threads }, () => 0),
    )
  })
})

it('a sibling that subscribes ten thousand times is sent a few lists at once, and then one per sweep', () => {
  const relay = new TestRelay()
  relay.join(alice)
  const m = relay.joinSibling(sibling)
  m.send(Buffer.concat(Array.from({ length: 10_000 }, () => frames.watchConns)))
  const atOnce = m.take().length
  expect(atOnce).toBeGreaterThanOrEqual(2)
  expect(atOnce).toBeLessThanOrEqual(8)
  relay.pass(2_000)
  expect(m.take().length).toBe(2)
  expect(m.isClosed).toBe(false)
  // The limit starts again with each sweep.
  expect(m.send(frames.watchConns).take().length).toBe(2)
})

it('sessions of one thread that alternate with one key send the other threads one update', () => {
  const relay = new TestRelay({ threads: 2 })
  const a = relay.join(alice, { thread: 1 })
  const bobs = [0, 0, 1].map((thread) => relay.join(bob, { thread }))
  relay.settle()
  const links = relay.links(0)
  const before = links.nextActivity()
  for (let n = 0; n < 500; n++) for (const one of bobs.slice(0, 2)) one.send(frames.unknown).settled()
  // The first frame took over from the other thread; the others changed nothing there.
  expect(links.nextActivity() - before).toBe(2)
  a.sendPacket(bob, packet)
  expect(bobs.map((one) => one.take().filter((line) => line === fromAlice).length)).toEqual([0, 1, 0])
  bobs[1]?.hangUp()
  a.sendPacket(bob, packet)
  expect([0, 2].map((at) => bobs[at]?.take().filter((line) => line === fromAlice).length)).toEqual([1, 0])
  bobs[0]?.hangUp()
  a.sendPacket(bob, packet)
  expect(bobs[2]?.take().filter((line) => line === fromAlice).length).toBe(1)
})

it('the key of a sibling is not counted, nor are its sessions counted as duplicates', () => {
  const relay = new TestRelay({ threads: 2 })
  relay.join(bob)
  for (const thread of [0, 1, 1]) relay.joinSibling(alice, { thread })
  const counted = ['keysCurrent', 'duplicateKeys', 'duplicateSessions', 'duplicatesTotal'] as const
  expect(counted.map((name) => relay.count(name))).toEqual([1, 0, 0, 0])
  relay.join(bob, { thread: 1 })
  expect(counted.map((name) => relay.count(name))).toEqual([1, 1, 2, 1])
})
