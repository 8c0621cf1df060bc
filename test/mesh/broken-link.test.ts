// The link to a sibling ends while packets wait for it: they go once more to where their destination is, and arrive once
// and in order. Relays and sibling links without sockets, under a clock that the test moves.

import { expect, it } from 'vitest'
import { alice, bob } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestMesh } from '../support/test-mesh.ts'
import { frames } from '../vectors/frames.ts'

const QUEUED = ['second', 'third', 'fourth'].map((text) => Buffer.from(text))
const QUEUED_LINES = QUEUED.map((packet) => packetLine(alice, packet))

/** alice is at north, bob at south. Of four packets to him the first is on its way, the others wait for the link. */
class StalledMesh extends TestMesh {
  readonly a: MemoryClient
  readonly b: MemoryClient

  constructor(...more: string[]) {
    super('north', 'south', ...more)
    this.a = this.node('north').join(alice)
    this.b = this.node('south').join(bob)
    this.stall('north', 'south', true)
    this.a.sendPacket(bob, Buffer.from('first')).settled()
    for (const packet of QUEUED) this.a.sendPacket(bob, packet).settled()
    expect(this.queued).toBe(QUEUED.length)
  }

  get queued(): number {
    return this.node('north').relay.count('queuedPackets')
  }

  get drops(): Record<string, number> {
    return this.node('north').relay.drops
  }

  /** south is about to hand over to another run of it, and says so. */
  announceHandOver(): void {
    this.node('south').relay.thread(0).relay.otherRunDrains(10_000)
    this.settle()
  }

  /** The link breaks; it can be dialled again. */
  break(): void {
    this.partition('north', 'south')
    this.heal('north', 'south')
  }
}

it('what waits for a sibling that hands over to another run arrives over the next link', () => {
  const mesh = new StalledMesh()
  mesh.announceHandOver()
  mesh.break()
  mesh.a.sendPacket(bob, Buffer.from('fifth')).settled()
  expect([mesh.b.take(), mesh.drops, mesh.queued]).toEqual([[], {}, 4])
  mesh.pass(125)
  expect(mesh.b.take()).toEqual([...QUEUED_LINES, packetLine(alice, Buffer.from('fifth'))])
  expect([mesh.drops, mesh.queued]).toEqual([{}, 0])
})

it('the same if the first run has refused the dial because it has just closed its port', () => {
  const mesh = new StalledMesh()
  mesh.announceHandOver()
  mesh.partition('north', 'south')
  mesh.pass(125)
  mesh.heal('north', 'south')
  mesh.pass(125)
  expect(mesh.b.take()).toEqual(QUEUED_LINES)
  expect([mesh.drops, mesh.queued]).toEqual([{}, 0])
})

it('what waits for a sibling that fails goes to another one that has the key', () => {
  const mesh = new StalledMesh('west')
  const again = mesh.node('west').join(bob)
  mesh.kill('south')
  mesh.a.sendPacket(bob, Buffer.from('fifth')).settled()
  expect(again.take()).toEqual([...QUEUED_LINES, packetLine(alice, Buffer.from('fifth'))])
  expect([mesh.drops, mesh.queued]).toEqual([{}, 0])
})

it('what waits for a sibling that fails is delivered here if the key is here', () => {
  const mesh = new StalledMesh()
  const again = mesh.node('north').join(bob)
  mesh.kill('south')
  expect(again.take()).toEqual(QUEUED_LINES)
  expect([mesh.drops, mesh.queued]).toEqual([{}, 0])
})

it('what has waited for a second is dropped', () => {
  const mesh = new StalledMesh()
  const again = mesh.node('north').join(bob)
  mesh.pass(1_125)
  mesh.kill('south')
  expect([again.take(), mesh.drops, mesh.queued]).toEqual([[], { 'queue_age data': 3 }, 0])
})

it('what waits for a key that nobody here has a route to any more is looked up in the directory', () => {
  const mesh = TestMesh.withDirectory('eu-1', 'us-1')
  const a = mesh.node('us-1').join(alice)
  const b = mesh.node('eu-1').join(bob).send(frames.notePreferredYes).settled()
  a.sendPacket(bob, Buffer.from('zeroth'))
  mesh.pass(2_000)
  b.take()
  mesh.stall('us-1', 'eu-1', true)
  for (const packet of [Buffer.from('first'), ...QUEUED]) a.sendPacket(bob, packet).settled()
  mesh.partition('us-1', 'eu-1')
  mesh.heal('us-1', 'eu-1')
  a.sendPacket(bob, Buffer.from('fifth')).settled()
  mesh.pass(500)
  expect(b.take()).toEqual([...QUEUED_LINES, packetLine(alice, Buffer.from('fifth'))])
  expect(mesh.node('us-1').relay.drops).toEqual({})
})

it('what is held for a sibling that is dialled again is sent on if the key comes back here', () => {
  const mesh = new StalledMesh()
  mesh.announceHandOver()
  mesh.partition('north', 'south')
  mesh.pass(250)
  expect([mesh.drops, mesh.queued]).toEqual([{}, 3])
  const again = mesh.node('north').relay.connect(bob).logIn()
  expect(again.take().filter((line) => line.startsWith('RecvPacket'))).toEqual(QUEUED_LINES)
  expect([mesh.drops, mesh.queued]).toEqual([{}, 0])
})

it('what waits for a sibling that fails, for a key that is nowhere else, is dropped', () => {
  const mesh = new StalledMesh()
  mesh.kill('south')
  expect([mesh.drops, mesh.queued]).toEqual([{ 'sibling_lost data': 3 }, 0])
})
