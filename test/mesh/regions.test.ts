// Relays of several regions, with either way to find keys: watching all siblings, or asking a key directory. Both must
// give the same, but for what the directory says of itself.

import { describe, expect, it } from 'vitest'
import { actor, alice, bob, cathy, type Actor } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { frames, packet } from '../vectors/frames.ts'

/** Longer than any answer of the directory, and than making a link. */
const SETTLED_MS = 500

function atHome(mesh: TestMesh, relay: string, who: Actor): MemoryClient {
  return mesh.node(relay).join(who).send(frames.notePreferredYes).settled()
}

/** Packets among what a client received. */
function packets(client: MemoryClient): string[] {
  return client.take().filter((line) => line.startsWith('RecvPacket'))
}

describe.each([
  ['watching all', (...names: string[]) => new TestMesh(...names)],
  ['asking a directory', (...names: string[]) => TestMesh.withDirectory(...names)],
])('relays of two regions, %s', (_how, makeMesh) => {
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

  it('find a client that has moved to another region at its new home', () => {
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

  it('bring a packet for a stale home to where the client lives now', () => {
    const mesh = makeTwo()
    // Alice believes that bob is at home in the region where she has connected.
    const a = mesh.node('eu-1').join(alice)
    const b = atHome(mesh, 'us-2', bob)
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toEqual([packetLine(alice, packet)])
    expect(mesh.node('eu-1').relay.count('forwardedOut')).toBe(1)
    expect(mesh.node('us-2').relay.count('forwardedIn')).toBe(1)
  })

  it('forget what a dead relay had, and reach its clients where they turn up', () => {
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
    // That it was nowhere is remembered for three seconds at most.
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
  it('is asked once for many packets, of which the first few wait in their order', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    const b = atHome(mesh, 'eu-1', bob)
    const sent = Array.from({ length: 12 }, (_, i) => Buffer.from([i, i, i]))
    for (const one of sent) a.sendPacket(bob, one)
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(8)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toEqual(sent.slice(0, 8).map((one) => packetLine(alice, one)))
    expect(mesh.node('us-1').directory?.questionCount).toBe(1)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'lookup_queue data': 4 })
    a.sendPacket(bob, packet)
    expect(packets(b)).toEqual([packetLine(alice, packet)])
  })

  it('is not asked again for a while for who is nowhere', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    for (let i = 0; i < 10; i++) {
      a.sendPacket(cathy, packet)
      mesh.pass(250)
    }
    expect(mesh.node('us-1').directory?.questionCount).toBe(1)
    mesh.pass(3_000)
    a.sendPacket(cathy, packet)
    expect(mesh.node('us-1').directory?.questionCount).toBe(2)
    mesh.pass(SETTLED_MS)
    expect(mesh.node('us-1').relay.drops).toEqual({ 'unknown_dest data': 11 })
  })

  it('is asked no more by a client than it has questions for', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    for (let i = 0; i < 200; i++) a.sendPacket(actor(`nobody ${i}`), packet)
    mesh.settle()
    expect(mesh.node('us-1').directory?.questionCount).toBe(50)
    const c = atHome(mesh, 'us-1', cathy)
    c.sendPacket(actor('nobody else'), packet).settled()
    expect(mesh.node('us-1').directory?.questionCount).toBe(51)
  })

  it('that is away leaves what is known usable, and all else nowhere at once', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'eu-2', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    const [b, c] = [atHome(mesh, 'eu-1', bob), atHome(mesh, 'eu-2', cathy)]
    a.sendPacket(bob, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(b)).toHaveLength(1)
    for (const name of ['eu-1', 'eu-2', 'us-1']) {
      const { directory } = mesh.node(name)
      if (directory !== undefined) directory.isAway = true
    }
    a.sendPacket(bob, packet).sendPacket(cathy, packet)
    expect(packets(b)).toHaveLength(1)
    expect(mesh.node('us-1').relay.count('queuedPackets')).toBe(0)
    c.sendPacket(bob, packet)
    expect(packets(b)).toEqual([packetLine(cathy, packet)])
    for (const name of ['eu-1', 'eu-2', 'us-1']) {
      const { directory } = mesh.node(name)
      if (directory !== undefined) directory.isAway = false
    }
    mesh.pass(3_500)
    a.sendPacket(cathy, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(c)).toEqual([packetLine(alice, packet)])
  })

  it('that names a relay that is no member, or cannot be reached, holds packets no longer than it may', () => {
    const mesh = TestMesh.withDirectory('eu-1', 'us-1')
    const a = atHome(mesh, 'us-1', alice)
    atHome(mesh, 'eu-1', bob)
    mesh.part('us-1', 'eu-1')
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
