// A mesh of real relays and sibling links, without sockets: the requirements of spec/derp-mesh.

import { expect, it } from 'vitest'
import { actor, alice, bob, cathy } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { frames, packet } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'

const NAMES = ['north', 'south', 'west'] as const

function meshOfThree(): TestMesh {
  return new TestMesh(...NAMES)
}

it('every relay reaches every other, and recognises itself in its list of siblings', () => {
  const mesh = meshOfThree()
  for (const name of NAMES) {
    const expected = Object.fromEntries(NAMES.map((other) => [other, other === name ? 'self' : 'up']))
    expect(mesh.node(name).links).toEqual(expected)
  }
})

it('packets pass in all directions, with their source keys', () => {
  const mesh = meshOfThree()
  const actors = [alice, bob, cathy]
  const clients = actors.map((who, at) => mesh.node(NAMES[at] ?? '').join(who))
  for (const [i, from] of clients.entries()) {
    for (const [j, to] of clients.entries()) {
      from.sendPacket(to.actor, packet)
      expect(to.take(), `${i} to ${j}`).toEqual([packetLine(from.actor, packet)])
    }
  }
  const forwarded = NAMES.map((name) => {
    const { relay } = mesh.node(name)
    return [relay.count('forwardedOut'), relay.count('forwardedIn'), relay.count('sentData')]
  })
  expect(forwarded).toEqual(NAMES.map(() => [2, 2, 3]))
})

it('a client is reached as soon as it logs in, and no longer when it leaves', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  a.sendPacket(bob, packet)
  const b = mesh.node('south').join(bob)
  expect(b.take()).toEqual([])
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  b.hangUp()
  a.sendPacket(bob, packet).settled()
  expect(mesh.node('north').relay.drops).toEqual({ 'unknown_dest data': 2 })
  expect(mesh.node('north').relay.count('forwardedOut')).toBe(1)
})

it('the recipients of packets from a client at a sibling get PeerGone when it leaves the mesh, and no other client does', () => {
  const mesh = meshOfThree()
  const [a, c] = [mesh.node('north').join(alice), mesh.node('north').join(cathy)]
  const b = mesh.node('south').join(bob)
  b.sendPacket(alice, packet)
  expect(a.take()).toEqual([packetLine(bob, packet)])
  b.hangUp()
  expect(a.take()).toEqual(['PeerGone bob disconnected'])
  expect(c.take()).toEqual([])
})

it('a client that moves from relay to relay stays reachable, and nobody gets PeerGone', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  const old = mesh.node('south').join(bob)
  old.sendPacket(alice, packet)
  expect(a.take()).toEqual([packetLine(bob, packet)])
  const next = mesh.node('west').join(bob)
  a.sendPacket(bob, packet)
  // The route stays as long as its sibling has the key.
  expect(old.take()).toEqual([packetLine(alice, packet)])
  old.hangUp()
  a.sendPacket(bob, packet)
  expect(next.take()).toEqual([packetLine(alice, packet)])
  expect(a.take()).toEqual([])
})

it('a client with sessions at two relays gets local packets locally, and at the sibling when it leaves here', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  const there = mesh.node('south').join(bob)
  const here = mesh.node('north').join(bob)
  here.sendPacket(alice, packet)
  expect(a.take()).toEqual([packetLine(bob, packet)])
  a.sendPacket(bob, packet)
  expect([here.take(), there.take()]).toEqual([[packetLine(alice, packet)], []])
  here.hangUp()
  a.sendPacket(bob, packet)
  expect(there.take()).toEqual([packetLine(alice, packet)])
  expect(a.take()).toEqual([])
})

it('the routes to a dead relay are removed at once, and return when it and its clients return', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  const b = mesh.node('south').join(bob)
  const w = mesh.node('west').join(cathy)
  b.sendPacket(alice, packet)
  w.sendPacket(alice, packet)
  a.take()
  mesh.kill('south')
  expect(a.take()).toEqual(['PeerGone bob disconnected'])
  expect(mesh.node('north').links).toMatchObject({ south: 'waiting', west: 'up' })
  mesh.pass(3_000)
  const back = mesh.restart('south').join(bob)
  mesh.pass(6_500)
  for (const name of NAMES) expect(Object.values(mesh.node(name).links).sort()).toEqual(['self', 'up', 'up'])
  a.sendPacket(bob, packet)
  expect(back.take()).toEqual([packetLine(alice, packet)])
  back.sendPacket(alice, packet)
  expect(a.take()).toEqual([packetLine(bob, packet)])
})

it('after a partition relays have routes to all present keys, and to none that has left', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  const b = mesh.node('south').join(bob)
  mesh.partition('north', 'south')
  const c = mesh.node('south').join(cathy)
  a.sendPacket(bob, packet).sendPacket(cathy, packet)
  expect([b.take(), c.take()]).toEqual([[], []])
  b.hangUp()
  mesh.pass(60_000)
  mesh.heal('north', 'south')
  mesh.pass(6_500)
  c.take()
  a.sendPacket(bob, packet).sendPacket(cathy, packet)
  expect(c.take()).toEqual([packetLine(alice, packet)])
  expect(mesh.node('north').relay.drops).toEqual({ 'unknown_dest data': 3 })
})

it('a stalled sibling delays no other traffic, loses queued packets, and is dialled again', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  const b = mesh.node('south').join(bob)
  const c = mesh.node('north').join(cathy)
  mesh.stall('north', 'south', true)
  for (let i = 0; i < 3_000; i++) a.sendPacket(bob, Buffer.alloc(1_000, i))
  a.sendPacket(cathy, packet)
  expect(c.take()).toEqual([packetLine(alice, packet)])
  const { relay } = mesh.node('north')
  expect(relay.count('queuedBytes')).toBeLessThan(1_400_000)
  expect(relay.drops['queue_sibling data']).toBeGreaterThan(1_500)
  mesh.pass(7_000)
  expect(mesh.node('north').links).toMatchObject({ south: 'up' })
  expect(mesh.node('north').changes).toContain('south waiting')
  b.take()
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect([relay.count('queuedPackets'), relay.count('queuedBytes')]).toEqual([0, 0])
})

it('routes to another region lead to home clients only, as long as they note that home', () => {
  const mesh = new TestMesh('eu-1', 'eu-2', 'us-1')
  const a = mesh.node('us-1').join(alice)
  const b = mesh.node('eu-1').join(bob)
  const c = mesh.node('eu-2').join(cathy)
  a.sendPacket(bob, packet)
  c.sendPacket(bob, packet)
  // Inside its region a client needs no home.
  expect(b.take()).toEqual([packetLine(cathy, packet)])
  b.send(frames.notePreferredYes).settled()
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  mesh.pass(1_000)
  b.send(frames.notePreferredNo).settled()
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([])
  expect(mesh.node('us-1').relay.drops).toEqual({ 'unknown_dest data': 2 })
})

it('a relay that joins later has routes to home clients of another region, until they leave', () => {
  const mesh = new TestMesh('eu-1', 'us-1')
  const b = mesh.node('eu-1').join(bob).send(frames.notePreferredYes)
  mesh.kill('us-1')
  mesh.pass(2_000)
  const a = mesh.restart('us-1').join(alice)
  mesh.pass(6_500)
  b.sendPacket(alice, packet).settled()
  a.send(frames.notePreferredYes).sendPacket(bob, packet)
  b.take()
  b.sendPacket(alice, packet)
  expect(a.take()).toEqual([packetLine(bob, packet)])
  b.hangUp()
  expect(a.take()).toEqual(['PeerGone bob disconnected'])
})

it('of two relays that have a key, the one of the same region is the route', () => {
  const mesh = new TestMesh('eu-1', 'us-1', 'eu-2')
  const a = mesh.node('eu-1').join(alice)
  const far = mesh.node('us-1').join(bob).send(frames.notePreferredYes).settled()
  a.sendPacket(bob, packet)
  expect(far.take()).toEqual([packetLine(alice, packet)])
  const near = mesh.node('eu-2').join(bob)
  a.sendPacket(bob, packet)
  expect([near.take(), far.take()]).toEqual([[packetLine(alice, packet)], []])
})

it('a forwarded packet is never forwarded again, even if another sibling has the key', () => {
  const mesh = new TestMesh('north', 'south', 'west')
  const a = mesh.node('north').join(alice)
  const b = mesh.node('south').join(bob)
  // North does not receive the presence of bob's move from south to west.
  mesh.holdBack('north', 'south', true)
  b.hangUp()
  const moved = mesh.node('west').join(bob)
  mesh.partition('north', 'west')
  a.sendPacket(bob, packet)
  expect(moved.take()).toEqual([])
  expect(mesh.node('south').relay.drops).toEqual({ 'unknown_dest_on_fwd data': 1 })
  expect(mesh.node('south').relay.count('forwardedOut')).toBe(0)
})

it('rebalancing ends a few sessions at a time of clients whose ideal node has been up for a while', () => {
  const mesh = new TestMesh('north', 'south')
  const south = mesh.node('south')
  const misplaced = ['a', 'b', 'c'].map((name) => south.join(actor(name), { idealNode: 'north' }))
  const others = [south.join(alice), south.join(bob, { idealNode: 'elsewhere' })]
  const rebalance = (): void => {
    south.relay.thread(0).relay.rebalance(south.siblings.settledNodes(mesh.clock.now()), 2)
    mesh.settle()
  }
  const closed = (): number => misplaced.filter(({ isClosed }) => isClosed).length
  rebalance()
  expect(closed()).toBe(0)
  mesh.pass(11_000)
  rebalance()
  expect(closed()).toBe(2)
  mesh.kill('north')
  rebalance()
  expect(closed()).toBe(2)
  mesh.restart('north')
  mesh.pass(17_000)
  rebalance()
  expect(closed()).toBe(3)
  expect(others.some(({ isClosed }) => isClosed)).toBe(false)
  expect(south.relay.lastEnd).toBe('rebalanced')
})

it('two regions without clients have every link up, and every round trip measured', () => {
  const mesh = new TestMesh('eu-1', 'eu-2', 'us-1')
  mesh.pass(1_000)
  for (const name of ['eu-1', 'eu-2', 'us-1']) {
    const reports = mesh
      .node(name)
      .siblings.reports()
      .filter((report) => report.name !== name)
    for (const report of reports) expect(report).toMatchObject({ state: 'up', isTried: true })
    expect(reports.map(({ rttMs }) => rttMs)).not.toContain(undefined)
  }
})

it('a sibling that is removed has no routes at once and is not dialled again; other links stay', () => {
  const mesh = meshOfThree()
  const [a, b] = [mesh.node('north').join(alice), mesh.node('south').join(bob)]
  const { siblings, relay } = mesh.node('north')
  siblings.setSiblings(NAMES.filter((name) => name !== 'south').map((name) => mesh.addressOf(name, 'north')))
  expect(siblings.byName('south')).toBeUndefined()
  a.sendPacket(bob, packet)
  expect([b.take(), relay.drops]).toEqual([[], { 'unknown_dest data': 1 }])
  expect(mesh.connectionsBetween('north', 'south')).toBe(0)
  siblings.reports()
  mesh.pass(60_000)
  expect([mesh.connectionsBetween('north', 'south'), mesh.node('north').links]).toEqual([
    0,
    { north: 'self', west: 'up' },
  ])
  expect(mesh.node('north').changes.filter((change) => change === 'south dialling')).toHaveLength(1)
})

it('the numbers of a removed sibling are reported until its connection has ended', () => {
  const mesh = meshOfThree()
  const a = mesh.node('north').join(alice)
  mesh.node('south').join(bob)
  mesh.stall('north', 'south', true)
  for (let i = 0; i < 3; i++) a.sendPacket(bob, packet)
  mesh.settle()
  a.sendPacket(bob, packet).settled()
  const { siblings } = mesh.node('north')
  siblings.setSiblings([])
  const numbers = [siblings.reports(), (mesh.settle(), siblings.reports()), siblings.reports()].map(
    (reports) =>
      reports.filter(({ name }) => name === 'south').map(({ packets, dropped }) => packets + dropped),
  )
  expect(numbers[0]).toHaveLength(1)
  expect(numbers[1]).toEqual([4])
  expect(numbers[2]).toEqual([])
})

it('of two names of one relay one has a link; the other takes over when it is removed or unreachable', () => {
  const mesh = new TestMesh('north', 'south')
  mesh.aliases.set('also south', 'south')
  const addresses = ['north', 'south', 'also south'].map((name) => mesh.addressOf(name, 'north'))
  const { siblings } = mesh.node('north')
  const b = mesh.node('south').join(bob)
  const a = mesh.node('north').join(alice)
  const states = (): string[] => {
    const reports = siblings.reports().filter(({ state }) => state !== 'closed')
    return reports.map(({ name, state }) => `${name} ${state}`)
  }
  siblings.setSiblings(addresses)
  mesh.settle()
  expect(states()).toEqual(['north self', 'south up', 'also south alias'])
  expect(mesh.node('south').relay.count('watchersCurrent')).toBe(1)
  mesh.pass(1_000)
  // Only the connection by the first name is broken.
  mesh.partition('north', 'south')
  mesh.settle()
  expect(states()).toEqual(['north self', 'south waiting', 'also south up'])
  mesh.heal('north', 'south')
  mesh.pass(10_000)
  expect(states()).toEqual(['north self', 'south alias', 'also south up'])
  siblings.setSiblings(addresses.slice(0, 2))
  mesh.pass(1_000)
  expect(states()).toEqual(['north self', 'south up'])
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
})

it('a machine with a copied key is not taken for another name of the original relay', () => {
  const mesh = new TestMesh('north', 'south', 'west', { copies: { west: 'south' } })
  // Each of the two sees its own key at the other; the third relay sees one key at both.
  for (const [name, other] of [
    ['south', 'west'],
    ['west', 'south'],
  ] as const) {
    expect(mesh.node(name).links).toEqual({ north: 'up', [name]: 'self', [other]: 'copied' })
    const report = mesh
      .node(name)
      .siblings.reports()
      .find((one) => one.name === other)
    expect(report).toMatchObject({
      why: expect.stringContaining(`has the key of this relay, ${name}`),
      isTried: true,
    })
  }
  const { siblings, links } = mesh.node('north')
  expect(links).toEqual({ north: 'self', south: 'up', west: 'copied' })
  expect(siblings.byName('west')?.why).toContain('has the key of south')
  // The operator gives the copy a key of its own.
  mesh.copies.delete('west')
  mesh.kill('west')
  mesh.restart('west')
  mesh.pass(13_000)
  expect(mesh.node('north').links).toMatchObject({ south: 'up', west: 'up' })
  expect(mesh.node('south').links).toMatchObject({ north: 'up', west: 'up' })
})

it('a relay with another mesh key learns that its key was not accepted', () => {
  const mesh = new TestMesh('north', 'south')
  mesh.meshKeys = [sha256('another mesh key')]
  mesh.kill('south')
  mesh.restart('south')
  expect(mesh.node('south').siblings.byName('north')?.why).toBe("did not accept this relay's mesh key")
  expect(mesh.node('north').relay.ends.map(({ reason }) => reason)).toContain('mesh_key_refused')
})
