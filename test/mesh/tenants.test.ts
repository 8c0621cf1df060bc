// Tenants that are kept apart in a mesh: each relay judges by the keys of source and destination, so that one alone suffices.

import { describe, expect, it } from 'vitest'
import { rosterOf } from '#admission/tenant-roster.ts'
import { actor, alice, bob, cathy } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { disco, frames, packet } from '../vectors/frames.ts'

const SETTLED_MS = 500
const dave = actor('dave')
const APART = rosterOf([
  [alice.key, 'blue'],
  [cathy.key, 'blue'],
  [bob.key, 'red'],
])

interface Clients {
  readonly mesh: TestMesh
  /** Alice in the west; bob, cathy and dave in the east. */
  readonly a: MemoryClient
  readonly b: MemoryClient
  readonly c: MemoryClient
  readonly d: MemoryClient
}

function connectAll(mesh: TestMesh): Clients {
  const join = (relay: string, who: typeof alice): MemoryClient =>
    mesh.node(relay).join(who).send(frames.notePreferredYes).settled()
  const [a, b, c, d] = [
    join('west-1', alice),
    join('east-1', bob),
    join('east-1', cathy),
    join('east-1', dave),
  ]
  mesh.pass(SETTLED_MS)
  for (const client of [a, b, c, d]) client.take()
  return { mesh, a, b, c, d }
}

function packets(client: MemoryClient): string[] {
  return client.take().filter((line) => line.startsWith('RecvPacket'))
}

describe.each([
  ['presence from all siblings', (...names: string[]) => new TestMesh(...names)],
  ['a key directory', (...names: string[]) => TestMesh.withDirectory(...names)],
])('two relays, routes by %s', (_how, makeMesh) => {
  it.each([
    ['both keep tenants apart', ['west-1', 'east-1']],
    ['the relay of the sender does', ['west-1']],
    ['the other one does', ['east-1']],
  ])('%s: nothing passes between tenants, and all else does', (_which, isolating) => {
    const { mesh, a, b, c, d } = connectAll(makeMesh('west-1', 'east-1'))
    for (const name of isolating) mesh.node(name).relay.setTenants(APART)
    for (const round of [0, 1]) {
      for (const to of [bob, cathy, dave]) a.sendPacket(to, packet).sendPacket(to, disco.message)
      mesh.pass(SETTLED_MS)
      expect(packets(b)).toEqual([])
      expect(packets(d)).toEqual([])
      expect(packets(c).toSorted(), `round ${round}`).toEqual(
        [packetLine(alice, packet), packetLine(alice, disco.message)].toSorted(),
      )
    }
    const [first = ''] = isolating
    expect(mesh.node(first).relay.drops).toEqual({ 'tenant data': 4, 'tenant disco': 4 })
    expect(packets(a)).toEqual([])
  })

  it('the sender learns as little as of a key that is nowhere, and the way to the key stays for others', () => {
    const { mesh, a, b, d } = connectAll(makeMesh('west-1', 'east-1'))
    mesh.node('west-1').relay.setTenants(APART)
    const answers = (to: typeof alice): string[] => {
      mesh.pass(10_000)
      a.take()
      for (let n = 0; n < 3; n++) {
        a.sendPacket(to, disco.message).settled()
        mesh.pass(SETTLED_MS)
      }
      return a.take().map((line) => line.replace(to.name, 'it'))
    }
    const ofNobody = answers(actor('nobody'))
    expect(ofNobody).toEqual(Array.from({ length: 3 }, () => 'PeerGone it not here'))
    expect([answers(bob), answers(dave)]).toEqual([ofNobody, ofNobody])
    expect(mesh.node('west-1').directory?.lookupCount ?? 0).toBe(0)
    // Of no tenant, as dave is.
    const erin = mesh.node('west-1').join(actor('erin'))
    erin.sendPacket(dave, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(d)).toEqual([packetLine(erin.actor, packet)])
    expect(packets(b)).toEqual([])
  })

  it('a relay that drops what a sibling forwards leaves the route to it as it is', () => {
    const { mesh, a, b, d } = connectAll(makeMesh('west-1', 'east-1'))
    a.sendPacket(dave, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(d)).toHaveLength(1)
    mesh.node('east-1').relay.setTenants(APART)
    a.sendPacket(dave, packet)
    mesh.pass(SETTLED_MS)
    expect([packets(d), packets(b)]).toEqual([[], []])
    const erin = mesh.node('west-1').join(actor('erin'))
    erin.sendPacket(dave, packet)
    mesh.pass(SETTLED_MS)
    expect(packets(d)).toEqual([packetLine(erin.actor, packet)])
  })
})
