// What relay threads know of each other's keys, however long one of them does not read.

import { expect, it } from 'vitest'
import { closePeerFrame, forwardPacketFrame } from '#protocol/frames.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

it('presence frames that found no room arrive although nothing else happens, however long the other is busy', () => {
  const relay = new TestRelay({ threads: 2, limits: { outboxBytesMax: Infinity } })
  const [a, b] = [relay.joinSibling(sibling), relay.join(bob, { thread: 1 })]
  const send = (bytes: Uint8Array) => a.send(forwardPacketFrame(cathy.key, bob.key, bytes)).settled()
  const busy = relay.thread(1)
  busy.isStuck = true
  // When no more large packets fit, the rest of the ring is filled with the smallest ones.
  for (let n = 0; n < 60; n++) send(Buffer.alloc(20_000, n))
  for (let n = 0; n < 300; n++) send(Buffer.alloc(0))
  const names = Array.from({ length: 50 }, (_, n) => `late ${n}`)
  for (const name of names) relay.join(actor(name))
  relay.clock.advance(100)
  relay.settle()
  expect(relay.thread(1).relay.keyCount).toBe(2)
  // One callback waits, not one for each flush.
  expect(relay.clock.waiting).toBe(1)
  busy.isStuck = false
  relay.settle()
  relay.clock.advance(2)
  relay.settle()
  expect(busy.relay.keyCount).toBe(2 + names.length)
  expect(relay.clock.waiting).toBe(0)
  b.take()
  b.sendPacket(actor('late 49'), packet).settled()
  const roomFor = Math.floor(1_048_576 / 20_069)
  const smallRoomFor = Math.floor((1_048_576 - roomFor * 20_069) / 69)
  expect(relay.drops).toEqual({ 'queue_thread data': 60 - roomFor + 300 - smallRoomFor })
})

it('a thread that has not read for so long that presence frames were given up is right after a full sync', () => {
  const relay = new TestRelay({ threads: 2 })
  const names = ['stays', 'is home', 'no longer home', 'leaves', 'moves']
  const actors = Object.fromEntries(names.map((name) => [name, actor(name)]))
  const actorNamed = (name: string) => actors[name] as ReturnType<typeof actor>
  const clients = Object.fromEntries(names.map((name) => [name, relay.join(actorNamed(name))]))
  clients['no longer home']?.send(frames.notePreferredYes).settled()
  const b = relay.join(bob, { thread: 1 })
  for (const name of names) clients[name]?.sendPacket(bob, packet).settled()
  const everything = relay.joinSibling(sibling, { thread: 1 }).send(frames.watchConns)
  const far = relay.connect(cathy, { thread: 1 }).logIn({ meshKey, wantsHomesOnly: true })
  far.send(frames.watchConns)
  const flooding = relay.joinSibling(actor('flooding'))
  for (const one of [b, everything, far]) one.take()

  const stuck = relay.thread(1)
  stuck.isStuck = true
  const unused = closePeerFrame(actor('unused').key)
  const flood = Buffer.concat(Array.from({ length: 1_000 }, () => unused))
  for (let n = 0; n < 60; n++) flooding.send(flood).settled()
  // Presence frames from here on are given up.
  clients['leaves']?.hangUp()
  clients['is home']?.send(frames.notePreferredYes).settled()
  clients['no longer home']?.send(frames.notePreferredNo).settled()
  relay.join(actor('comes'))
  clients['moves']?.hangUp()
  relay.join(actorNamed('moves'))
  stuck.isStuck = false
  for (let n = 0; n < 20; n++) relay.pass(10)

  expect(b.take()).toEqual(['PeerGone leaves disconnected'])
  const told = everything.take().map((line) => line.replace(/ \d.*/, ''))
  expect(told.toSorted()).toEqual(['PeerGone leaves disconnected', 'PeerPresent comes', 'PeerPresent moves'])
  expect(far.take().map((line) => line.replace(/ \d.*/, ''))).toEqual([
    'PeerPresent is home',
    'PeerGone no longer home disconnected',
  ])
  expect(stuck.relay.keyCount).toBe(relay.thread(0).relay.keyCount)
  b.sendPacket(actor('comes'), packet).settled()
  expect(relay.drops).toEqual({})
})

it('a packet never arrives before the presence of its sender', () => {
  const relay = new TestRelay({ threads: 2 })
  const b = relay.join(bob, { thread: 1 })
  relay.thread(1).isStuck = true
  const a = relay.join(alice).sendPacket(bob, packet).settled()
  relay.thread(1).isStuck = false
  expect(b.take()).toEqual([packetLine(alice, packet)])
  // Bob's thread knew alice when her packet came, so it can tell him that she left.
  a.hangUp()
  expect(b.take()).toEqual(['PeerGone alice disconnected'])
})

it('a client that is told of a new peer can reach it at once, whether its thread was woken or not', () => {
  const relay = new TestRelay({ threads: 2 })
  const a = relay.join(alice)
  relay.thread(0).isStuck = true
  const b = relay.join(bob, { thread: 1 })
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(relay.drops).toEqual({})
})

const moves = [0, 1, 2].flatMap((from) =>
  [0, 1, 2].filter((to) => to !== from).map((to) => [from, to] as const),
)
it.each(moves)(
  'a key that moves from thread %i to thread %i has not left, whichever thread reads of it last',
  (from, to) => {
    const relay = new TestRelay({ threads: 3 })
    const old = relay.join(alice, { thread: from })
    const recipients = [0, 1, 2].map((thread) => relay.join(actor(`recipient ${thread}`), { thread }))
    for (const one of recipients) old.sendPacket(one.actor, packet)
    for (const one of recipients) one.take()
    const recent = relay.connect(alice, { thread: to }).settled()
    for (const thread of relay.threads) thread.isStuck = true
    recent.send(recent.clientInfo())
    old.link.hangUp()
    relay.settle()
    for (const thread of relay.threads) thread.isStuck = false
    expect(recipients.flatMap((one) => one.take())).toEqual([])
    expect(relay.threads.map((thread) => thread.relay.keyCount)).toEqual([4, 4, 4])
    recent.hangUp()
    expect(recipients.flatMap((one) => one.take()).length).toBe(3)
    expect(relay.count('keysCurrent')).toBe(3)
  },
)
