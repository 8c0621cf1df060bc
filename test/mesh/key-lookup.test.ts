// The key lookup alone, with a directory that a test plays: what it keeps, and how much of it.

import { expect, it } from 'vitest'
import { KeyLookup, type DialableSibling } from '#mesh/key-lookup.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import { alice, bob } from '../support/actor.ts'
import { sha256 } from '../vectors/hex.ts'

const asker = { key: alice.key, mayLookUp: () => true }

function packetTo(key: Uint8Array, packetBytes = 10): AddressedPacket {
  const buffer = Buffer.concat([key, Buffer.alloc(packetBytes)])
  return { buffer, start: 0, packetAt: 32, end: buffer.length, kind: 0 }
}

class Sibling implements DialableSibling {
  readonly rank = 1
  isUp = true
  forwarded = 0

  wake(): void {}

  forward(): void {
    this.forwarded++
  }
}

function play(): {
  keyLookup: KeyLookup
  routeTable: RouteTable
  east: Sibling
  west: Sibling
  asked: Uint8Array[]
  counters: Counters
} {
  const [east, west] = [new Sibling(), new Sibling()]
  const asked: Uint8Array[] = []
  const routeTable = new RouteTable(1, () => undefined)
  const counters = new Counters()
  const keyLookup = new KeyLookup({
    ask: (key) => asked.push(key),
    sibling: (name) => ({ east, west })[name],
    routeTable,
    counters,
  })
  return { keyLookup, routeTable, east, west, asked, counters }
}

function droppedIn(counters: Counters): { lookupQueue: number; lookupTimeout: number } {
  const { lookupQueue, lookupTimeout } = DropReason
  const dropped = (reason: DropReason): number => counters.droppedPackets(reason, PacketKind.data)
  return { lookupQueue: dropped(lookupQueue), lookupTimeout: dropped(lookupTimeout) }
}

const atEast = { kind: 'at', relay: 'east' } as const
const nowhere = { kind: 'nowhere' } as const
const unknown = { kind: 'unknown' } as const

it('asks again after five minutes, and believes what it is told then', () => {
  const { keyLookup, routeTable, east, west, asked } = play()
  keyLookup.lookUp(packetTo(bob.key), asker, 0)
  keyLookup.located(bob.key, atEast, 10)
  expect([routeTable.find(bob.key, 0), east.forwarded]).toEqual([east, 1])
  keyLookup.sweep(300_000)
  expect(asked).toHaveLength(1)
  keyLookup.sweep(300_011)
  expect(asked).toHaveLength(2)
  // While there is no answer, and when nobody can say, what is known is used on.
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

it('asks soon again for a key of which nothing could be said, and late for one that is nowhere', () => {
  const { keyLookup, asked, counters } = play()
  const lookUp = (nowMs: number): boolean => keyLookup.lookUp(packetTo(bob.key), asker, nowMs)
  expect(lookUp(0)).toBe(true)
  keyLookup.located(bob.key, unknown, 10)
  expect(counters.get('queuedPackets')).toBe(0)
  expect([lookUp(100), lookUp(509)]).toEqual([false, false])
  expect(lookUp(511)).toBe(true)
  keyLookup.located(bob.key, nowhere, 520)
  expect([lookUp(1_100), lookUp(3_519)]).toEqual([false, false])
  expect(lookUp(3_521)).toBe(true)
  expect(asked).toHaveLength(3)
})

it('holds eight packets for a key and 16 KiB, tells when the rest is lost, and counts what became of the search', () => {
  const { keyLookup, east, counters } = play()
  const large = packetTo(bob.key, 4_000)
  for (let n = 0; n < 6; n++) expect(keyLookup.lookUp(large, asker, 0)).toBe(true)
  expect([counters.get('queuedPackets'), droppedIn(counters)]).toEqual([
    4,
    { lookupQueue: 2, lookupTimeout: 0 },
  ])
  keyLookup.located(bob.key, atEast, 10)
  expect(east.forwarded).toBe(4)
  for (let n = 0; n < 9; n++) keyLookup.lookUp(packetTo(alice.key), asker, 20)
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

it('looks for a thousand keys at once and no more, and holds nothing for the rest', () => {
  const { keyLookup, asked, counters } = play()
  const taken = Array.from({ length: 1_200 }, (_, i) =>
    keyLookup.lookUp(packetTo(sha256(`key ${i}`)), asker, 0),
  )
  expect([taken.filter(Boolean).length, asked.length, counters.get('queuedPackets')]).toEqual([
    1_000, 1_000, 1_000,
  ])
  keyLookup.sweep(201)
  expect([counters.get('queuedPackets'), counters.get('queuedBytes')]).toEqual([0, 0])
  expect(keyLookup.lookUp(packetTo(bob.key), asker, 202)).toBe(true)
})

it('remembers the last twenty thousand that are nowhere, and asks again for those before', () => {
  const { keyLookup } = play()
  const keys = Array.from({ length: 20_100 }, (_, i) => sha256(`key ${i}`))
  for (const key of keys) keyLookup.located(key, nowhere, 0)
  const isSought = (i: number): boolean => keyLookup.lookUp(packetTo(keys[i] as Uint8Array), asker, 1)
  expect([0, 99, 100, 20_099].map(isSought)).toEqual([true, true, false, false])
})

it('remembers the last hundred thousand that were found, and forgets those before with their routes', () => {
  const { keyLookup, routeTable, east } = play()
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
