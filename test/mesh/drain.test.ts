// A drain in a mesh: what is sent to a client that a drain moves reaches it at the other relay, once, and nothing is
// forwarded twice. Relays and sibling links without sockets, under a clock that the test moves.

import { expect, it } from 'vitest'
import { actor, alice, bob, cathy, type Actor } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { packet } from '../vectors/frames.ts'

const MOVE_LINE = 'Restarting 0 ms, 0 ms'

class DrainingMesh extends TestMesh {
  isDone = false

  constructor() {
    super('east', 'west')
  }

  drain(name: string, settleMs = 0, spreadMs = 0): void {
    this.node(name)
      .relay.thread(0)
      .relay.drain({ settleMs, spreadMs }, () => (this.isDone = true))
    this.settle()
  }

  drops(name: string): Record<string, number> {
    return this.node(name).relay.drops
  }

  /** Logs in; also returns what came after ServerInfo. */
  join(name: string, who: Actor): [client: MemoryClient, lines: string[]] {
    const client = this.node(name).relay.connect(who).logIn()
    return [client, client.take().filter((line) => !line.startsWith('Server'))]
  }

  /** Packets that were held, and those that were sent on. */
  held(name: string): [number, number] {
    const { relay } = this.node(name)
    return [relay.count('handOffHeld'), relay.count('handOffSent')]
  }
}

it('what is sent to a client while it moves reaches it at the other relay, whoever sends it', () => {
  const mesh = new DrainingMesh()
  const [east, west] = [mesh.node('east'), mesh.node('west')]
  const a = east.join(alice)
  const b = east.join(bob)
  const c = west.join(cathy)
  a.sendPacket(cathy, packet)
  expect(c.take()).toEqual([packetLine(alice, packet)])
  for (const one of [b, c]) one.sendPacket(alice, packet).settled()
  a.take()
  mesh.drain('east', 0, 10_000)
  while (!a.link.isFinished && !b.link.isFinished) mesh.pass(50)
  const [moved, stayed] = a.link.isFinished ? [a, b] : [b, a]
  moved.hangUp()
  expect(moved.take()).toEqual([MOVE_LINE])
  stayed.sendPacket(moved.actor, Buffer.from('from east'))
  c.sendPacket(moved.actor, Buffer.from('from west')).settled()
  mesh.pass(300)
  const [again, lines] = mesh.join('west', moved.actor)
  expect(lines.sort()).toEqual(
    [packetLine(stayed.actor, Buffer.from('from east')), packetLine(cathy, Buffer.from('from west'))].sort(),
  )
  stayed.sendPacket(moved.actor, packet)
  c.sendPacket(moved.actor, packet)
  expect(again.take().sort()).toEqual([packetLine(stayed.actor, packet), packetLine(cathy, packet)].sort())
  expect([mesh.drops('east'), mesh.drops('west')]).toEqual([{}, {}])
  expect(mesh.held('east')).toEqual([1, 1])
  // Nobody was told that the client has gone.
  expect([c.take(), stayed.take()]).toEqual([[], []])
})

it('while the other relay lets nobody in, few leave; all have left in time', () => {
  const mesh = new DrainingMesh()
  const clients = Array.from({ length: 400 }, (_, n) => mesh.node('east').join(actor(`client ${n}`)))
  const stall = { fromMs: 1_000, untilMs: 1_800 }
  const leftAtMs = new Map<Actor, number>()
  const awayMs: number[] = []
  mesh.drain('east', 0, 4_000)
  for (let nowMs = 0; nowMs < 4_300; nowMs += 50) {
    mesh.pass(50)
    for (const client of clients) {
      if (!client.link.isFinished || client.isClosed) continue
      client.hangUp()
      leftAtMs.set(client.actor, nowMs)
    }
    if (nowMs >= stall.fromMs && nowMs < stall.untilMs) continue
    for (const [who, leftMs] of leftAtMs) {
      mesh.join('west', who)
      awayMs.push(nowMs - leftMs)
    }
    leftAtMs.clear()
  }
  expect(awayMs).toHaveLength(400)
  // At an even pace thirty have left by the time after which packets are no longer held.
  expect(awayMs.filter((ms) => ms > 500).length).toBeLessThanOrEqual(16)
  mesh.pass(200)
  expect(mesh.isDone).toBe(true)
})

it('what a sibling has forwarded by the time that it is told still arrives', () => {
  const mesh = new DrainingMesh()
  const a = mesh.node('east').join(alice)
  const c = mesh.node('west').join(cathy)
  c.sendPacket(alice, packet).settled()
  a.take()
  mesh.drain('east')
  // West knows already, east still serves alice.
  expect(a.link.isFinished).toBe(false)
  c.sendPacket(alice, Buffer.from('held')).settled()
  expect([a.take(), mesh.held('west')]).toEqual([[], [1, 0]])
  mesh.pass(200)
  expect([a.take(), a.link.isFinished]).toEqual([[MOVE_LINE], true])
  expect(mesh.join('west', alice)[1]).toEqual([packetLine(cathy, Buffer.from('held'))])
})

it('a packet that a sibling forwards for a client that has left is dropped, and never forwarded back', () => {
  const mesh = new DrainingMesh()
  const a = mesh.node('east').join(alice)
  const c = mesh.node('west').join(cathy)
  c.sendPacket(alice, packet).settled()
  a.take()
  mesh.holdBack('west', 'east', true)
  mesh.drain('east')
  mesh.pass(200)
  a.hangUp()
  const again = mesh.node('west').join(cathy)
  c.sendPacket(alice, Buffer.from('late')).settled()
  expect(mesh.drops('east')).toEqual({ 'unknown_dest_on_fwd data': 1 })
  expect([mesh.node('east').relay.count('forwardedOut'), mesh.held('east')]).toEqual([0, [0, 0]])
  expect(again.take()).toEqual([])
})

it('a packet is held for half a second, and a key that does not come back is gone after three', () => {
  const mesh = new DrainingMesh()
  const a = mesh.node('east').join(alice)
  const c = mesh.node('west').join(cathy)
  a.sendPacket(cathy, packet)
  c.sendPacket(alice, packet)
  expect([c.take(), a.take()]).toEqual([[packetLine(alice, packet)], [packetLine(cathy, packet)]])
  mesh.drain('east', 0, 0)
  mesh.pass(200)
  a.hangUp()
  c.sendPacket(alice, packet).settled()
  mesh.pass(400)
  expect(mesh.drops('west')).toEqual({})
  expect(mesh.node('west').relay.count('queuedPackets')).toBe(1)
  mesh.pass(250)
  expect(mesh.drops('west')).toEqual({ 'hand_off_timeout data': 1 })
  expect([
    mesh.node('west').relay.count('queuedPackets'),
    mesh.node('west').relay.count('queuedBytes'),
  ]).toEqual([0, 0])
  expect(c.take()).toEqual([])
  mesh.pass(3_000)
  expect(c.take()).toEqual(['PeerGone alice disconnected'])
  c.sendPacket(alice, packet).settled()
  expect(mesh.drops('west')).toEqual({ 'hand_off_timeout data': 1, 'unknown_dest data': 1 })
})

it('what is held for one key is bounded; the oldest give way', () => {
  const mesh = new DrainingMesh()
  const a = mesh.node('east').join(alice)
  const c = mesh.node('west').join(cathy)
  c.sendPacket(alice, packet).settled()
  mesh.drain('east')
  mesh.pass(200)
  a.hangUp()
  for (let n = 0; n < 300; n++) c.sendPacket(alice, Buffer.alloc(8, n)).settled()
  expect(mesh.drops('west')).toEqual({ 'hand_off_queue data': 44 })
  const [, lines] = mesh.join('west', alice)
  expect(lines).toHaveLength(256)
  expect(lines[0]).toBe(packetLine(cathy, Buffer.alloc(8, 44)))
})

it('what could not be sent to a client that does not read is sent to where it is by then', () => {
  const mesh = new DrainingMesh()
  const a = mesh.node('east').join(alice)
  const b = mesh.node('east').join(bob)
  a.link.isStalled = true
  // The first is on its way when the others come.
  b.sendPacket(alice, Buffer.from('first')).settled()
  b.sendPacket(alice, Buffer.from('second')).settled()
  b.sendPacket(alice, Buffer.from('third')).settled()
  mesh.drain('east', 0, 0)
  mesh.pass(500)
  const again = mesh.node('west').join(alice)
  mesh.pass(1_500)
  expect(again.take()).toEqual([
    packetLine(bob, Buffer.from('second')),
    packetLine(bob, Buffer.from('third')),
  ])
  expect(mesh.drops('east')).toEqual({})
})

it('a draining relay moves nobody to its ideal node, and nobody is moved to it', () => {
  const mesh = new DrainingMesh()
  const west = mesh.node('west')
  const a = mesh.node('east').join(alice, { idealNode: 'west' })
  const c = west.join(cathy, { idealNode: 'east' })
  mesh.pass(11_000)
  expect([...west.siblings.settledNodes(mesh.clock.now())]).toEqual(['east'])
  mesh.drain('east', 30_000)
  expect([...west.siblings.settledNodes(mesh.clock.now())]).toEqual([])
  mesh
    .node('east')
    .relay.thread(0)
    .relay.rebalance(new Set(['west']), 10)
  expect([a.isClosed, c.isClosed]).toEqual([false, false])
})
