// Tenants that are kept apart: which packets pass, what a sender learns of those that do not, and what a change of tenants
// means to clients that are connected.

import { describe, expect, it } from 'vitest'
import { rosterOf } from '#admission/tenant-roster.ts'
import { forwardPacketFrame } from '#protocol/frames.ts'
import type { TenantRoster } from '#relay/ports.ts'
import { actor, alice, bob, cathy, sibling, type Actor } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { disco, frames, packet } from '../vectors/frames.ts'

const dave = actor('dave')
const erin = actor('erin')
/** Of the other tenant, and never connected. */
const absent = actor('absent')
const unknown = actor('unknown')

/** Alice and cathy are of one tenant, bob of another, dave and erin of none. */
const APART = roster({ blue: [alice, cathy], red: [bob, absent] })
const TOGETHER = roster({ blue: [alice, bob, cathy] })

function roster(tenants: Readonly<Record<string, readonly Actor[]>>): TenantRoster {
  return rosterOf(
    Object.entries(tenants).flatMap(([name, members]) => members.map(({ key }) => [key, name] as const)),
  )
}

// The same with sender and receiver on one thread and on different ones.
describe.each([
  ['on one thread', 1],
  ['across threads', 3],
])('%s', (_where, threads) => {
  interface Clients {
    readonly relay: TestRelay
    readonly all: readonly MemoryClient[]
    readonly a: MemoryClient
    readonly b: MemoryClient
  }

  /** Every client on another thread than those before and after it. */
  function connectAll(tenants: TenantRoster | undefined): Clients {
    const relay = new TestRelay({ threads })
    relay.setTenants(tenants)
    const all = [alice, bob, cathy, dave, erin].map((one, n) => relay.join(one, { thread: n % threads }))
    const [a, b] = all as [MemoryClient, MemoryClient]
    return { relay, all, a, b }
  }

  /** Everybody sends a packet of each kind to everybody. Returns the pairs whose packets arrived. */
  function pairsThatTalk({ all }: Clients): string[] {
    const pairs: string[] = []
    for (const from of all) {
      for (const to of all) {
        from.sendPacket(to.actor, packet).sendPacket(to.actor, disco.message).settled()
        const lines = to.take().filter((line) => line.startsWith('RecvPacket'))
        if (lines.length > 0) pairs.push(`${from.actor.name}-${to.actor.name}`)
        const both = [packetLine(from.actor, packet), packetLine(from.actor, disco.message)].toSorted()
        expect([[], both]).toContainEqual(lines.toSorted())
      }
    }
    return pairs
  }

  it('packets pass within a tenant and between keys without one, and all others are counted', () => {
    const clients = connectAll(APART)
    expect(pairsThatTalk(clients)).toEqual([
      'alice-alice',
      'alice-cathy',
      'bob-bob',
      'cathy-alice',
      'cathy-cathy',
      'dave-dave',
      'dave-erin',
      'erin-dave',
      'erin-erin',
    ])
    expect(clients.relay.drops).toEqual({ 'tenant data': 16, 'tenant disco': 16 })
  })

  it('without isolation everybody talks to everybody', () => {
    const clients = connectAll(undefined)
    expect(pairsThatTalk(clients)).toHaveLength(25)
    expect(clients.relay.drops).toEqual({})
  })

  it('a key of another tenant is answered for like one that is not here, whether it is here or not', () => {
    const { a, relay } = connectAll(APART)
    const answersFor = (to: Actor): string[] => {
      relay.clock.advance(60_000)
      const answers: string[] = []
      for (let n = 0; n < 6; n++) {
        relay.clock.advance(400)
        answers.push(...a.sendPacket(to, packet).sendPacket(to, disco.message).take())
      }
      return answers.map((line) => line.replace(to.name, 'it'))
    }
    const ofUnknown = answersFor(unknown)
    expect(ofUnknown).toEqual(Array.from({ length: 4 }, () => 'PeerGone it not here'))
    for (const other of [bob, absent, dave, erin]) expect(answersFor(other), other.name).toEqual(ofUnknown)
  })

  it('a client is told nothing when one of another tenant comes or leaves', () => {
    const { a, b, relay } = connectAll(APART)
    b.sendPacket(alice, packet).settled()
    b.hangUp()
    relay.join(bob, { thread: threads - 1 }).hangUp()
    expect(a.take()).toEqual([])
  })

  it('a change moves clients that are connected: what they knew of each other is gone, and later packets do not pass', () => {
    const { a, b, relay } = connectAll(TOGETHER)
    a.sendPacket(bob, packet).settled()
    b.sendPacket(alice, packet).settled()
    expect([a.take(), b.take()]).toEqual([[packetLine(bob, packet)], [packetLine(alice, packet)]])
    relay.setTenants(TOGETHER)
    expect([a.take(), b.take()]).toEqual([[], []])
    relay.setTenants(APART)
    expect([a.take(), b.take()]).toEqual([['PeerGone bob disconnected'], ['PeerGone alice disconnected']])
    a.sendPacket(bob, packet).settled()
    b.sendPacket(alice, packet).settled()
    expect(relay.drops).toEqual({ 'tenant data': 2 })
    b.hangUp()
    expect(a.take()).toEqual([])
    const again = relay.join(bob, { thread: threads - 1 })
    relay.setTenants(undefined)
    again.sendPacket(alice, packet).settled()
    expect(a.take()).toEqual([packetLine(bob, packet)])
  })

  it("a sibling's packets are judged by their source, and the sibling is not told that the key is not here", () => {
    const { a, all, relay } = connectAll(APART)
    const m = relay.joinSibling(sibling, { thread: threads - 1 })
    for (const source of [absent, unknown, cathy]) m.send(forwardPacketFrame(source.key, alice.key, packet))
    expect(a.take()).toEqual([packetLine(cathy, packet)])
    expect(m.take()).toEqual([])
    expect(relay.drops).toEqual({ 'tenant data': 2 })
    m.send(forwardPacketFrame(unknown.key, dave.key, packet))
    expect(all[3]?.take()).toEqual([packetLine(unknown, packet)])
    m.send(forwardPacketFrame(cathy.key, unknown.key, packet))
    expect(m.take()).toEqual(['PeerGone unknown not here'])
  })

  it('a sibling is told of all clients, whatever their tenants', () => {
    const { relay, all } = connectAll(APART)
    const m = relay.joinSibling(sibling).send(frames.watchConns)
    const names = m.take().flatMap((line) => /^PeerPresent (\w+)/.exec(line)?.[1] ?? [])
    expect(names.toSorted()).toEqual([...all.map(({ actor: { name } }) => name), 'sibling'].toSorted())
  })

  it('packets that are held for a client are dropped if it comes back as one of another tenant', () => {
    const { a, b, relay } = connectAll(TOGETHER)
    for (const { relay: one } of relay.threads) one.otherRunDrains(5_000)
    b.hangUp()
    a.sendPacket(bob, packet).settled()
    expect(relay.count('handOffHeld')).toBe(1)
    relay.setTenants(APART)
    const again = relay.join(bob, { thread: threads - 1 })
    expect(again.take()).toEqual([])
    expect(relay.drops).toEqual({ 'tenant data': 1 })
  })
})

it('packets between threads are judged again where they arrive', () => {
  const relay = new TestRelay({ threads: 2 })
  relay.setTenants(TOGETHER)
  const a = relay.join(alice)
  const b = relay.join(bob, { thread: 1 })
  const m = relay.joinSibling(sibling)
  relay.thread(1).isStuck = true
  a.sendPacket(bob, packet).settled()
  m.send(forwardPacketFrame(cathy.key, bob.key, packet)).settled()
  relay.thread(1).relay.setTenants(APART)
  relay.thread(1).isStuck = false
  expect(b.take()).toEqual([])
  expect(relay.drops).toEqual({ 'tenant data': 2 })
})

it('a thread that starts later keeps tenants apart from its first packet on', () => {
  const relay = new TestRelay({ threads: 2 })
  relay.setTenants(APART)
  const b = relay.join(bob)
  relay.killThread(1)
  relay.startThread(1)
  relay.join(alice, { thread: 1 }).sendPacket(bob, packet).settled()
  expect(b.take()).toEqual([])
  expect(relay.drops).toEqual({ 'tenant data': 1 })
})
