// Three relays that tell each other their states over the links of a mesh without sockets: what each knows of the fleet
// when one dies, ends, comes back, is cut off or sends nonsense.

import { afterEach, expect, it } from 'vitest'
import { FleetLinks } from '#control/fleet-links.ts'
import { FleetState } from '#fleet/fleet-state.ts'
import { writeRelayState, type HealthState } from '#fleet/relay-state.ts'
import { frame } from '#protocol/handshake.ts'
import { relayStateFrame } from '#protocol/frames.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { alice, bob } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { stateOf } from '../support/relay-states.ts'
import { TestMesh, type MeshNode } from '../support/test-mesh.ts'
import { packet } from '../vectors/frames.ts'

const NAMES = ['fra-a', 'fra-b', 'nyc-a']
const EVERY_MS = 5_000
const DOWN_MS = 25_000

/** One relay's knowledge of the fleet, and its messages. */
class Teller {
  readonly node: MeshNode
  readonly fleet: FleetState
  readonly links = new FleetLinks()
  readonly #key: string
  #sequence = 0
  readonly #instance: string

  constructor(mesh: TestMesh, name: string) {
    this.node = mesh.node(name)
    this.#key = publicKeyText(mesh.serverOf(name).key)
    this.#instance = `${name} ${mesh.startCount}`
    this.fleet = new FleetState({ now: mesh.clock.now, ownKey: this.#key })
    this.fleet.setRelays(NAMES.map((one) => ({ name: one, nodes: [one], isOwn: one === name })))
    this.node.onRelayState = (key, state) =>
      this.fleet.take(state, { key: publicKeyText(key), carrier: 'link' })
  }

  tell(state: HealthState = 'ready'): void {
    this.links.note(0, this.node.siblings.reports())
    this.fleet.setLinks(this.links.evidence)
    const { name } = this.node
    const sequence = ++this.#sequence
    const identity = { nodes: [name], key: this.#key, instance: this.#instance, sequence }
    const own = stateOf(name, { ...identity, everyMs: EVERY_MS, health: { state, failing: [] } })
    this.fleet.takeOwn(own)
    this.send(relayStateFrame(writeRelayState(own)))
  }

  send(bytes: Uint8Array): void {
    for (const names of this.links.tellers.values()) this.node.siblings.tellState(names, bytes)
  }

  get known(): string {
    return NAMES.map((name) => this.fleet.stateOf(name)).join(' ')
  }
}

let mesh: TestMesh
let tellers: Map<string, Teller>

function start(): void {
  mesh = new TestMesh(...NAMES)
  tellers = new Map(NAMES.map((name) => [name, new Teller(mesh, name)]))
}

function teller(name: string): Teller {
  const found = tellers.get(name)
  if (found === undefined) throw new Error(`there is no relay ${name}`)
  return found
}

function pass(ms: number, ...names: readonly string[]): void {
  for (let left = ms; left > 0; left -= EVERY_MS) {
    for (const name of names) teller(name).tell()
    mesh.settle()
    mesh.pass(Math.min(left, EVERY_MS))
  }
}

afterEach(() => {
  // Whatever was told, packets pass.
  const [sender, receiver] = [teller('fra-a').node.join(alice), teller('fra-b').node.join(bob)]
  mesh.pass(1_000)
  sender.sendPacket(bob, packet)
  mesh.settle()
  expect(receiver.take()).toContain(packetLine(alice, packet))
})

it('each knows how all are, over one link of each', () => {
  start()
  pass(10_000, ...NAMES)
  for (const name of NAMES) {
    const { fleet, known } = teller(name)
    expect([name, known, fleet.majority.seen, fleet.results.get('taken')]).toEqual([name, 'up up up', 3, 4])
    expect(fleet.relays.map(({ knownBy }) => knownBy)).toEqual(['state', 'state', 'state'])
  }
})

it('one that dies is down after the bound, and up when it is back', () => {
  start()
  pass(10_000, ...NAMES)
  mesh.kill('nyc-a')
  pass(DOWN_MS - 5_000, 'fra-a', 'fra-b')
  expect(teller('fra-a').known).toBe('up up up')
  pass(10_000, 'fra-a', 'fra-b')
  expect([teller('fra-a').known, teller('fra-b').known]).toEqual(['up up down', 'up up down'])
  mesh.restart('nyc-a')
  tellers.set('nyc-a', new Teller(mesh, 'nyc-a'))
  pass(10_000, ...NAMES)
  expect([teller('fra-a').known, teller('nyc-a').known]).toEqual(['up up up', 'up up up'])
})

it('one that says so drains at once and is down at once', () => {
  start()
  pass(5_000, ...NAMES)
  teller('nyc-a').tell('draining')
  mesh.settle()
  expect(teller('fra-a').known).toBe('up up draining')
  teller('nyc-a').tell('ended')
  mesh.settle()
  expect([teller('fra-a').known, teller('fra-b').known]).toEqual(['up up down', 'up up down'])
})

it('one that is cut off has no majority; the others have', () => {
  start()
  pass(10_000, ...NAMES)
  mesh.partition('nyc-a', 'fra-a')
  mesh.partition('nyc-a', 'fra-b')
  pass(DOWN_MS + 5_000, ...NAMES)
  expect([teller('nyc-a').fleet.majority.isMajority, teller('fra-a').fleet.majority.isMajority]).toEqual([
    false,
    true,
  ])
  expect([teller('nyc-a').known, teller('fra-a').known]).toEqual(['down down up', 'up up down'])
  mesh.heal('nyc-a', 'fra-a')
  mesh.heal('nyc-a', 'fra-b')
  pass(20_000, ...NAMES)
  expect([teller('nyc-a').known, teller('fra-a').known]).toEqual(['up up up', 'up up up'])
})

it('one that floods the others with nonsense is read a few times, and its link stays', () => {
  start()
  pass(5_000, ...NAMES)
  const garbage = frame(FrameType.relayState, Buffer.alloc(20_000, 'x'))
  const before = teller('fra-a').fleet.results.get('unreadable') ?? 0
  for (let at = 0; at < 500; at++) teller('nyc-a').send(garbage)
  mesh.settle()
  const { fleet } = teller('fra-a')
  const read = (fleet.results.get('unreadable') ?? 0) - before
  expect(read).toBeGreaterThan(0)
  expect(read).toBeLessThan(30)
  expect(teller('fra-a').node.relay.count('relayStatesRefused')).toBeGreaterThan(400)
  expect(teller('nyc-a').node.links['fra-a']).toBe('up')
  pass(15_000, ...NAMES)
  expect(teller('fra-a').known).toBe('up up up')
})

it('a message that is too long is passed over as an unknown frame', () => {
  start()
  pass(5_000, ...NAMES)
  teller('nyc-a').send(frame(FrameType.relayState, Buffer.alloc(40_000)))
  mesh.settle()
  expect(teller('fra-a').node.relay.count('unknownFrames')).toBe(1)
  expect(teller('nyc-a').node.links['fra-a']).toBe('up')
})
