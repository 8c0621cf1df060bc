import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { RouteTable, type RankedSibling } from '#mesh/route-table.ts'
import { sha256 } from '../vectors/hex.ts'

class Sibling implements RankedSibling {
  readonly rank: number

  constructor(rank: number) {
    this.rank = rank
  }

  forward(): void {}
}

const siblings = [0, 0, 0, 1, 1].map((rank) => new Sibling(rank))
const keys: readonly Uint8Array[] = Array.from({ length: 12 }, (_, i) => sha256(`key ${i}`))

/** The same as a list of who has which key, in the order in which that was said. */
class Model {
  list: { key: Uint8Array; sibling: Sibling }[] = []

  has(key: Uint8Array, sibling: Sibling): boolean {
    return this.list.some((one) => one.key === key && one.sibling === sibling)
  }

  best(key: Uint8Array): Sibling | undefined {
    const having = this.list.filter((one) => one.key === key).map((one) => one.sibling)
    return having.find(({ rank }) => rank === 0) ?? having[0]
  }
}

const doing = fc.record({
  what: fc.constantFrom('add', 'add', 'remove', 'forget'),
  key: fc.constantFrom(...keys),
  sibling: fc.constantFrom(...siblings),
})

it('says where keys are as a list of who has what would, and tells of every change of a way', () => {
  fc.assert(
    fc.property(fc.integer(), fc.array(doing, { maxLength: 120 }), (seed, doings) => {
      const told = new Map<string, unknown>()
      const routeTable = new RouteTable(seed, (bytes, at, route) => {
        const key = toHex(bytes.subarray(at, at + 32))
        expect(route).not.toBe(told.get(key))
        if (route === undefined) told.delete(key)
        else told.set(key, route)
      })
      const model = new Model()
      for (const { what, key, sibling } of doings) {
        const lying = Buffer.concat([Buffer.alloc(3), key, Buffer.alloc(2)])
        const had = model.has(key, sibling)
        if (what === 'add') {
          expect(routeTable.add(lying, 3, sibling)).toBe(!had)
          if (!had) model.list.push({ key, sibling })
        } else if (what === 'remove') {
          expect(routeTable.remove(lying, 3, sibling)).toBe(had)
          model.list = model.list.filter((one) => one.key !== key || one.sibling !== sibling)
        } else {
          routeTable.forget(sibling)
          model.list = model.list.filter((one) => one.sibling !== sibling)
        }
        for (const one of keys) {
          expect(routeTable.find(one, 0)).toBe(model.best(one))
          expect(told.get(toHex(one))).toBe(model.best(one))
        }
        expect(routeTable.size).toBe(new Set(model.list.map((one) => one.key)).size)
      }
    }),
    { numRuns: 200 },
  )
})

it('keeps to the sibling that had the key first, and takes one of the same region before any other', () => {
  const [near, alsoNear, , far] = siblings as [Sibling, Sibling, Sibling, Sibling]
  const key = sha256('key')
  const routeTable = new RouteTable(1, () => undefined)
  routeTable.add(key, 0, far)
  routeTable.add(key, 0, near)
  routeTable.add(key, 0, alsoNear)
  expect(routeTable.find(key, 0)).toBe(near)
  routeTable.remove(key, 0, near)
  expect(routeTable.find(key, 0)).toBe(alsoNear)
  routeTable.remove(key, 0, alsoNear)
  expect(routeTable.find(key, 0)).toBe(far)
})
