import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { sha256 } from '../vectors/hex.ts'

interface Entry {
  readonly key: Uint8Array
}

const entries: readonly Entry[] = Array.from({ length: 300 }, (_, i) => ({ key: sha256(`entry ${i}`) }))

/** Looks a key up inside other bytes. */
function find(table: KeyTable<Entry>, key: Uint8Array): Entry | undefined {
  return table.find(Buffer.concat([Buffer.alloc(3, 0xee), key, Buffer.alloc(2, 0xee)]), 3)
}

function expectSame(table: KeyTable<Entry>, model: ReadonlyMap<string, Entry>): void {
  expect(table.size).toBe(model.size)
  expect(new Set(table)).toEqual(new Set(model.values()))
  for (const entry of entries) expect(find(table, entry.key)).toBe(model.get(toHex(entry.key)))
}

// Enough entries to fill the smallest table, where runs collide and wrap around its end; and more, so that it grows.
it.each([31, 300])('%i keys added and removed at random are found as in a map', (entryCount) => {
  const someToggles = fc.array(fc.nat(entryCount - 1), { minLength: entryCount, maxLength: 3 * entryCount })
  fc.assert(
    fc.property(fc.integer(), someToggles, (seed, toggles) => {
      const table = new KeyTable<Entry>(seed)
      const model = new Map<string, Entry>()
      for (const at of toggles) {
        const entry = entries[at] as Entry
        const key = toHex(entry.key)
        if (model.delete(key)) table.delete(entry.key, 0)
        else {
          model.set(key, entry)
          table.set(entry.key, 0, entry)
        }
        expect(find(table, entry.key)).toBe(model.get(key))
      }
      expectSame(table, model)
      for (const entry of model.values()) {
        table.delete(entry.key, 0)
        model.delete(toHex(entry.key))
      }
      expectSame(table, model)
    }),
    { numRuns: entryCount < 100 ? 300 : 30 },
  )
})

it('keys are compared in every bit', () => {
  const table = new KeyTable<Entry>(7)
  const entry = { key: sha256('alice') }
  table.set(entry.key, 0, entry)
  for (let bit = 0; bit < 256; bit++) {
    const near = Uint8Array.from(entry.key)
    near[bit >> 3] = (near[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(find(table, near)).toBeUndefined()
  }
  expect(find(table, entry.key)).toBe(entry)
})

it('slots depend on the seed, so that colliding keys cannot be chosen', () => {
  const orders = [1, 1, 2].map((seed) => {
    const table = new KeyTable<Entry>(seed)
    for (const entry of entries) table.set(entry.key, 0, entry)
    return [...table].map((entry) => entries.indexOf(entry)).join()
  })
  expect(orders[1]).toBe(orders[0])
  expect(orders[2]).not.toBe(orders[0])
})

it('keys that differ in one word only are distinguished', () => {
  const table = new KeyTable<Entry>(3)
  const similar = Array.from({ length: 20_000 }, (_, i) => {
    const key = Buffer.alloc(32, 0x11)
    key.writeUInt32LE(i, 4 * (i % 8))
    return { key }
  })
  for (const entry of similar) {
    expect(table.find(entry.key, 0)).toBeUndefined()
    table.set(entry.key, 0, entry)
  }
  expect(similar.every((entry) => table.find(entry.key, 0) === entry)).toBe(true)
})

/**
 * Keys that differ in the top bit of one word and in two bits of the next. In a hash that multiplies words one after
 * another by a known odd number, these differences cancel for any initial state.
 */
function chosenKeys(baseCount: number): Uint8Array[] {
  const keys: Uint8Array[] = []
  for (let base = 0; base < baseCount; base++) {
    for (let pairs = 0; pairs < 16; pairs++) {
      const key = Buffer.from(sha256(`base ${base}`))
      for (const pair of [0, 1, 2, 3].filter((one) => (pairs & (1 << one)) > 0)) flip(key, 2 * pair)
      keys.push(key)
    }
  }
  return keys
}

/** The top bit of a word, and its effect in the next word. */
function flip(key: Buffer, word: number): void {
  key.writeUInt32LE((key.readUInt32LE(4 * word) ^ 0x8000_0000) >>> 0, 4 * word)
  key.writeUInt32LE((key.readUInt32LE(4 * word + 4) ^ 0x8001_0000) >>> 0, 4 * word + 4)
}

/** The number of bytes of `key` that the table reads to find it: more for each colliding key. */
function bytesRead(table: KeyTable<Entry>, key: Uint8Array): number {
  let count = 0
  const counted = new Proxy(key, {
    get: (target, at) => {
      count++
      return target[Number(at)]
    },
  })
  expect(table.find(counted, 0)).toBeDefined()
  return count
}

it('chosen keys cost no more to find than random ones, with any seed', () => {
  const random = Array.from({ length: 8_000 }, (_, i) => sha256(`random ${i}`))
  const costs = [chosenKeys(500), random].map((keys) => {
    let sum = 0
    for (const seed of [0, 1, 0x5eed, -1, 0x7fff_ffff]) {
      const table = new KeyTable<Entry>(seed)
      for (const key of keys) table.set(key, 0, { key })
      for (const key of keys) sum += bytesRead(table, key)
    }
    return sum / keys.length / 5
  })
  const [chosen = Infinity, ordinary = 0] = costs
  expect(chosen / ordinary).toBeLessThan(1.05)
})
