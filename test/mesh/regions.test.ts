// Relays of several regions, with either source of routes: presence from all siblings, or a key directory. Both must
// give the same results, apart from the directory's own behaviour.

import { describe, expect, it } from 'vitest'
import { actor, alice, bob, cathy, type Actor } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { frames, packet } from '../vectors/frames.ts'

/** Longer than the directory's answer and the dialling of a link take. */
const SETTLED_MS = 500

function atHome(mesh: TestMesh, relay: string, who: Actor): MemoryClient {
  return mesh.node(relay).join(who).send(frames.notePreferredYes).settled()
}

/** Packets among what a client received. */
function packets(client: MemoryClient): string[] {
  return client.take().filter((line) => line.startsWith('RecvPacket'))
}

describe.each([
  ['presence from all siblings', (...names: string[]) => new TestMesh(...names)],
  ['a key directory', (...names: string[]) => TestMesh.withDirectory(...names)],
])('relays of two regions, routes by %s', (_how, makeMesh) => {
  const makeTwo = (): TestMesh => makeMesh('eu-1', 'eu-2', 'us-1', 'us-2')

  it('reach every home client from everywhere, once, over one link', () => {
    const mesh = makeTwo()
    const clients = ['eu-1', 'eu-2', 'us-1', 'us-2'].map((relay) => atHome(mesh, relay, actor(`at ${relay}`)))
    for (const from of clients) {
      for (const to of clients) {
        from.sendPacket(to.actor, packet)
        mesh.pass(SETTLED_MS)
        expect(packets(to), `${from.actor.name} to ${to.actor.name}`).toEqual([
          packetLine(from.actor, packet),
        ])
      }
    }
  })

  it('reach a client that has moved to another region at its new home', () => {
    const mesh = makeTwo()
    const a = atHome(mesh, 'us-1', alice)
    const old = atHome(mesh, 'eu-1', bob)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(old)).toHaveLength(1)
    old.hangUp()
    const next = atHome(mesh, 'us-2', bob)
    mesh.pass(SETTLED_MS)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(next)).toEqual([packetLine(alice, packet)])
  })

  it('forward a packet sent to a former home to the current one', () => {
    const mesh = makeTwo()
    // Alice takes the region where she has connected for bob's home.
    const a = mesh.node('eu-1').join(alice)
    const b = atHome(mesh, 'us-2', bob)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toEqual([packetLine(alice, packet)])
    expect(mesh.node('eu-1').relay.count('forwardedOut')).toBe(1)
    expect(mesh.node('us-2').relay.count('forwardedIn')).toBe(1)
  })

  it('remove the routes to a dead relay, and reach its clients at their next relay', () => {
    const mesh = makeTwo()
    const a = atHome(mesh, 'us-1', alice)
    atHome(mesh, 'eu-1', bob)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    mesh.kill('eu-1')
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(0)
    const again = atHome(mesh, 'eu-2', bob)
    // The location nowhere is cached for three seconds at most.
    mesh.pass(3_500)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(again)).toEqual([packetLine(alice, packet)])
  })

  it('account for every packet', () => {
    const mesh = makeTwo()
    const a = atHome(mesh, 'us-1', alice)
    const b = atHome(mesh, 'eu-1', bob)
    for (let i = 0; i < 20; i++) {
      a.sendPacket(bob, packet).sendPacket(cathy, packet)
      b.sendPacket(alice, packet)
    }
    mesh.pass(SETTLED_MS)
    for (const name of ['eu-1', 'us-1']) {
      const { relay } = mesh.node(name)
      const dropped = Object.values(relay.drops).reduce((sum, count) => sum + count, 0)
      const received = relay.count('receivedData') + relay.count('forwardedIn')
      expect(received).toBe(relay.count('sentData') + relay.count('forwardedOut') + dropped)
      expect(relay.count('queuedPackets')).toBe(0)
      expect(relay.count('queuedBytes')).toBe(0)
    }
  })
})

describe('a key directory', () => {
  it('is asked once for many packets, and the first eight wait in order', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    const b = atHome(mesh, 'eu-1', bob)
    const twelve = Array.from({ length: 12 }, (_, i) => Buffer.from([i, i, i]))
    for (const one of twelve) a.sendPacket(bob, one)
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(8)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toEqual(twelve.slice(0, 8).map((one) => packetLine(alice, one)))
    expect(mesh.node('us-1').directory?.lookupCount).toBe(1)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'lookup_queue data': 4 })
    a.sendPacket(bob, packet)
    expect(packets(b)).toEqual([packetLine(alice, packet)])
  })

  it('is not asked again for three seconds for a key that is nowhere', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    for (let i = 0; i < 10; i++) {
      a.sendPacket(cathy, packet)
      mesh.pass(250)
    }
    expect(mesh.node('us-1').directory?.lookupCount).toBe(1)
    mesh.pass(3_000)
    a.sendPacket(cathy, packet)
    expect(mesh.node('us-1').directory?.lookupCount).toBe(2)
    mesh.pass(SETTLED_MS)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'unknown_dest data': 11 })
  })

  it("is asked for no more keys by one client than the client's limit allows", () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    for (let i = 0; i < 200; i++) a.sendPacket(actor(`nobody ${i}`), packet)
    mesh.settle()
    expect(mesh.node('us-1').directory?.lookupCount).toBe(50)
    const c = atHome(mesh, 'us-1', cathy)
    c.sendPacket(actor('nobody else'), packet).settled()
    expect(mesh.node('us-1').directory?.lookupCount).toBe(51)
  })

  it('moves no packets away from a relay of the region that has the key without being its home any more', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'eu-2', 'us-1')
    const a = atHome(mesh, 'eu-1', alice)
    const far = atHome(mesh, 'us-1', bob)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(far)).toHaveLength(1)
    const near = atHome(mesh, 'eu-2', bob)
    mesh.pass(SETTLED_MS)
    near.send(frames.notePreferredNo).settled()
    mesh.pass(SETTLED_MS)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect([packets(near), packets(far)]).toEqual([[packetLine(alice, packet)], []])
    expect(mesh.node('eu-1').siblings.byName('eu-2')?.report().keys).toBe(1)
    near.hangUp()
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(far)).toEqual([packetLine(alice, packet)])
  })

  it('that is unreachable leaves routes in use, and other packets are dropped at once', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'eu-2', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    const [b, c] = [atHome(mesh, 'eu-1', bob), atHome(mesh, 'eu-2', cathy)]
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toHaveLength(1)
    for (const name of ['eu-1', 'eu-2', 'us-1']) {
      const { directory } = mesh.node(name)
      if (directory !== undefined) directory.isUnreachable = true
    }
    a.sendPacket(bob, packet).sendPacket(cathy, packet)
    expect(packets(b)).toHaveLength(1)
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(0)
    c.sendPacket(bob, packet)
    expect(packets(b)).toEqual([packetLine(cathy, packet)])
    for (const name of ['eu-1', 'eu-2', 'us-1']) {
      const { directory } = mesh.node(name)
      if (directory !== undefined) directory.isUnreachable = false
    }
    mesh.pass(3_500)
    a.sendPacket(cathy, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(c)).toEqual([packetLine(alice, packet)])
  })

  it('that names an unknown or unreachable relay delays packets no longer than the limit', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    atHome(mesh, 'eu-1', bob)
    mesh.partition('us-1', 'eu-1')
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'lookup_timeout data': 1 })
    mesh.directoryServer?.open('nowhere-1').announce(cathy.key)
    a.sendPacket(cathy, packet)
    mesh.pass(SETTLED_MS)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'lookup_timeout data': 1, 'unknown_dest data': 1 })
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(0)
  })
})
