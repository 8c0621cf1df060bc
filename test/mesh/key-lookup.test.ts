// The key lookup alone, with the directory's answers given by the test: what it caches and queues, and its limits.

import { expect, it } from 'vitest'
import { KeyLookup, type DialableSibling } from '#mesh/key-lookup.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import { alice, bob } from '../support/actor.ts'
import { sha256 } from '../vectors/hex.ts'

const owner = { key: alice.key, mayLookUp: () => true }

function packetTo(key: Uint8Array, packetBytes = 10): AddressedPacket {
  const buffer = Buffer.concat([key, Buffer.alloc(packetBytes)])
  return { buffer, start: 0, packetAt: 32, end: buffer.length, kind: 0, isForwarded: false }
}

class FakeSibling implements DialableSibling {
  readonly rank = 1
  isUp = true
  readonly isDraining = false
  isWatched = false
  forwarded = 0

  wake(): void {}

  forward(): void {
    this.forwarded++
  }
}

function setUp(): {
  keyLookup: KeyLookup
  routeTable: RouteTable
  east: FakeSibling
  west: FakeSibling
  lookups: Uint8Array[]
  counters: Counters
} {
  const [east, west] = [new FakeSibling(), new FakeSibling()]
  const lookups: Uint8Array[] = []
  const routeTable = new RouteTable(1, () => undefined)
  const counters = new Counters()
  const keyLookup = new KeyLookup({
    locate: (key) => lookups.push(key),
    sibling: (name) => ({ east, west })[name],
    routeTable,
    counters,
  })
  return { keyLookup, routeTable, east, west, lookups, counters }
}

function droppedIn(counters: Counters): { lookupQueue: number; lookupTimeout: number } {
  const { lookupQueue, lookupTimeout } = DropReason
  const dropped = (reason: DropReason): number => counters.droppedPackets(reason, PacketKind.data)
  return { lookupQueue: dropped(lookupQueue), lookupTimeout: dropped(lookupTimeout) }
}

const atEast = { kind: 'at', relay: 'east' } as const
const nowhere = { kind: 'nowhere' } as const
const unknown = { kind: 'unknown' } as const

it('looks a located key up again after five minutes, and follows the new answer', () => {
  const { keyLookup, routeTable, east, west, lookups } = setUp()
  keyLookup.lookUp(packetTo(bob.key), owner, 0)
  keyLookup.located(bob.key, atEast, 10)
  expect([routeTable.find(bob.key, 0), east.forwarded]).toEqual([east, 1])
  keyLookup.sweep(300_000)
  expect(lookups).toHaveLength(1)
  keyLookup.sweep(300_011)
  expect(lookups).toHaveLength(2)
  // The old location stays in use while there is no answer, and after the answer unknown.
  expect(routeTable.find(bob.key, 0)).toBe(east)
  keyLookup.located(bob.key, unknown, 300_020)
  expect(routeTable.find(bob.key, 0)).toBe(east)
  keyLookup.sweep(600_030)
  keyLookup.located(bob.key, { kind: 'at', relay: 'west' }, 600_040)
  expect(routeTable.find(bob.key, 0)).toBe(west)
  keyLookup.sweep(900_050)
  keyLookup.located(bob.key, nowhere, 900_060)
  expect([routeTable.find(bob.key, 0), routeTable.size]).toEqual([undefined, 0])
})

it('a key that has moved to a sibling without a link is no longer sent to where it was', () => {
  const { keyLookup, routeTable, east, west, lookups } = setUp()
  west.isUp = false
  keyLookup.lookUp(packetTo(bob.key), owner, 0)
  keyLookup.located(bob.key, atEast, 10)
  keyLookup.located(bob.key, { kind: 'at', relay: 'west' }, 20)
  expect(routeTable.find(bob.key, 0)).toBe(undefined)
  // The next packet waits until the link is up.
  expect(keyLookup.lookUp(packetTo(bob.key), owner, 30)).toBe(true)
  expect(lookups).toHaveLength(2)
  keyLookup.located(bob.key, { kind: 'at', relay: 'west' }, 40)
  expect(west.forwarded).toBe(0)
  west.isUp = true
  keyLookup.sweep(100)
  expect([routeTable.find(bob.key, 0), east.forwarded, west.forwarded]).toEqual([west, 1, 1])
})

it('neither adds nor removes the routes to a watched sibling, whose presence says what it has', () => {
  const { keyLookup, routeTable, east, west } = setUp()
  east.isWatched = true
  const atWest = { kind: 'at', relay: 'west' } as const
  keyLookup.lookUp(packetTo(bob.key), owner, 0)
  keyLookup.located(bob.key, atEast, 10)
  expect([east.forwarded, routeTable.size]).toEqual([1, 0])
  routeTable.add(bob.key, 0, east)
  keyLookup.located(bob.key, atEast, 20)
  keyLookup.located(bob.key, atWest, 30)
  keyLookup.located(bob.key, nowhere, 40)
  expect(routeTable.find(bob.key, 0)).toBe(east)
  // What was found elsewhere before is forgotten.
  keyLookup.located(bob.key, atWest, 50)
  keyLookup.located(bob.key, atEast, 60)
  routeTable.remove(bob.key, 0, east)
  expect([routeTable.find(bob.key, 0), west.forwarded]).toEqual([undefined, 0])
})

it('looks a key up again soon after the answer unknown, and later after nowhere', () => {
  const { keyLookup, lookups, counters } = setUp()
  const lookUp = (nowMs: number): boolean => keyLookup.lookUp(packetTo(bob.key), owner, nowMs)
  expect(lookUp(0)).toBe(true)
  keyLookup.located(bob.key, unknown, 10)
  expect(counters.get('queuedPackets')).toBe(0)
  expect([lookUp(100), lookUp(509)]).toEqual([false, false])
  expect(lookUp(511)).toBe(true)
  keyLookup.located(bob.key, nowhere, 520)
  expect([lookUp(1_100), lookUp(3_519)]).toEqual([false, false])
  expect(lookUp(3_521)).toBe(true)
  expect(lookups).toHaveLength(3)
})

it('queues eight packets and 16 KiB for a key, counts the rest as dropped, and counts the result of each lookup', () => {
  const { keyLookup, east, counters } = setUp()
  const large = packetTo(bob.key, 4_000)
  for (let n = 0; n < 6; n++) expect(keyLookup.lookUp(large, owner, 0)).toBe(true)
  expect([counters.get('queuedPackets'), droppedIn(counters)]).toEqual([
    4,
    { lookupQueue: 2, lookupTimeout: 0 },
  ])
  keyLookup.located(bob.key, atEast, 10)
  expect(east.forwarded).toBe(4)
  for (let n = 0; n < 9; n++) keyLookup.lookUp(packetTo(alice.key), owner, 20)
  expect([counters.get('queuedPackets'), droppedIn(counters)]).toEqual([
    8,
    { lookupQueue: 3, lookupTimeout: 0 },
  ])
  keyLookup.sweep(221)
  expect([counters.get('queuedPackets'), droppedIn(counters)]).toEqual([
    0,
    { lookupQueue: 3, lookupTimeout: 8 },
  ])
  expect([counters.get('lookupsFound'), counters.get('lookupsFailed')]).toEqual([1, 1])
})

it('looks up at most a thousand keys at once, and queues nothing for the rest', () => {
  const { keyLookup, lookups, counters } = setUp()
  const results = Array.from({ length: 1_200 }, (_, i) =>
    keyLookup.lookUp(packetTo(sha256(`key ${i}`)), owner, 0),
  )
  expect([results.filter(Boolean).length, lookups.length, counters.get('queuedPackets')]).toEqual([
    1_000, 1_000, 1_000,
  ])
  keyLookup.sweep(201)
  expect([counters.get('queuedPackets'), counters.get('queuedBytes')]).toEqual([0, 0])
  expect(keyLookup.lookUp(packetTo(bob.key), owner, 202)).toBe(true)
})

it('remembers the latest twenty thousand keys that are nowhere, and looks older ones up again', () => {
  const { keyLookup } = setUp()
  const keys = Array.from({ length: 20_100 }, (_, i) => sha256(`key ${i}`))
  for (const key of keys) keyLookup.located(key, nowhere, 0)
  const isLookedUp = (i: number): boolean => keyLookup.lookUp(packetTo(keys[i] as Uint8Array), owner, 1)
  expect([0, 99, 100, 20_099].map(isLookedUp)).toEqual([true, true, false, false])
})

it('caches the latest hundred thousand locations, and removes the routes of older ones', () => {
  const { keyLookup, routeTable, east } = setUp()
  const keys = Array.from({ length: 100_050 }, (_, i) => sha256(`key ${i}`))
  for (const key of keys) keyLookup.located(key, atEast, 0)
  expect(routeTable.size).toBe(100_000)
  expect([0, 49, 50, 100_049].map((i) => routeTable.find(keys[i] as Uint8Array, 0))).toEqual([
    undefined,
    undefined,
    east,
    east,
  ])
})
