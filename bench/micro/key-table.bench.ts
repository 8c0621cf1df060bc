// How long it takes to find a peer by the 32 key bytes that lie in a buffer, among few peers and among many, compared
// with the simplest code: a Map whose keys are latin1 strings made for each lookup.
//
// Keys are looked up in random order and lie next to each other in memory, which is easier for the processor than
// packets are; the table's own memory is visited as randomly as in a relay.

import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { KEY_BYTES } from '#protocol/limits.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { measure, perOperation } from './per-operation.ts'

interface Entry {
  readonly key: Uint8Array
}

const LOOKUPS = 8_192

/** The key of a number; the same in every run. */
function keyOf(index: number): Uint8Array {
  return new Uint8Array(createHash('sha256').update(`peer ${index}`).digest())
}

class Population {
  readonly table = new KeyTable<Entry>(0x5eed)
  readonly map = new Map<string, Entry>()
  /** Keys that are there, and keys that are not, one after another. */
  readonly here = Buffer.alloc(LOOKUPS * KEY_BYTES)
  readonly nowhere = Buffer.alloc(LOOKUPS * KEY_BYTES)
  readonly others: readonly Entry[]

  constructor(size: number) {
    const peers = Array.from({ length: size }, (_, index) => ({ key: keyOf(index) }))
    for (const peer of peers) {
      this.table.set(peer.key, 0, peer)
      this.map.set(Buffer.from(peer.key).toString('latin1'), peer)
    }
    for (let at = 0; at < LOOKUPS; at++) {
      const random = createHash('sha256').update(`look-up ${at}`).digest().readUInt32LE()
      this.here.set(peers[random % size]?.key ?? [], at * KEY_BYTES)
      this.nowhere.set(keyOf(size + at), at * KEY_BYTES)
    }
    this.others = Array.from({ length: 1_000 }, (_, index) => ({
      key: keyOf(2 * size + LOOKUPS + index),
    }))
  }

  findAll(keys: Buffer): number {
    let found = 0
    for (let at = 0; at < keys.length; at += KEY_BYTES) {
      if (this.table.find(keys, at) !== undefined) found++
    }
    return found
  }

  findAllInMap(keys: Buffer): number {
    let found = 0
    for (let at = 0; at < keys.length; at += KEY_BYTES) {
      if (this.map.get(keys.toString('latin1', at, at + KEY_BYTES)) !== undefined) found++
    }
    return found
  }

  addAndRemove(): void {
    for (const peer of this.others) this.table.set(peer.key, 0, peer)
    for (const peer of this.others) this.table.delete(peer.key, 0)
  }
}

test.for([1_000, 50_000])('key table, %i keys', async (size, { bench }) => {
  const all = new Population(size)
  expect(all.findAll(all.here)).toBe(LOOKUPS)
  expect(all.findAllInMap(all.here)).toBe(LOOKUPS)
  expect(all.findAll(all.nowhere)).toBe(0)
  await measure(
    bench(
      'find',
      perOperation(LOOKUPS, () => void all.findAll(all.here)),
    ),
    bench(
      'find, a Map of latin1 strings',
      perOperation(LOOKUPS, () => void all.findAllInMap(all.here)),
    ),
    bench(
      'find what is not there',
      perOperation(LOOKUPS, () => void all.findAll(all.nowhere)),
    ),
    bench(
      'find what is not there, a Map',
      perOperation(LOOKUPS, () => void all.findAllInMap(all.nowhere)),
    ),
    bench(
      'add and remove',
      perOperation(all.others.length, () => all.addAndRemove()),
    ),
  )
})
