import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { RouteTable, type RankedSibling } from '#mesh/route-table.ts'
import { sha256 } from '../vectors/hex.ts'

class FakeSibling implements RankedSibling {
  readonly isDraining = false
  readonly rank: number

  constructor(rank: number) {
    this.rank = rank
  }

  forward(): void {}
}

const siblings = [0, 0, 0, 1, 1].map((rank) => new FakeSibling(rank))
const keys: readonly Uint8Array[] = Array.from({ length: 12 }, (_, i) => sha256(`key ${i}`))

/** The naive model: a list of keys with their siblings, in the order of their presence. */
class Model {
  list: { key: Uint8Array; sibling: FakeSibling }[] = []

  has(key: Uint8Array, sibling: FakeSibling): boolean {
    return this.list.some((one) => one.key === key && one.sibling === sibling)
  }

  best(key: Uint8Array): FakeSibling | undefined {
    const having = this.list.filter((one) => one.key === key).map((one) => one.sibling)
    return having.find(({ rank }) => rank === 0) ?? having[0]
  }
}

const step = fc.record({
  kind: fc.constantFrom('add', 'add', 'remove', 'forget'),
  key: fc.constantFrom(...keys),
  sibling: fc.constantFrom(...siblings),
})

it('finds the same routes as a naive model, and reports every change of a route', () => {
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { maxLength: 120 }), (seed, steps) => {
      const reported = new Map<string, unknown>()
      const routeTable = new RouteTable(seed, (bytes, at, route) => {
        const key = toHex(bytes.subarray(at, at + 32))
        expect(route).not.toBe(reported.get(key))
        if (route === undefined) reported.delete(key)
        else reported.set(key, route)
      })
      const model = new Model()
      for (const { kind, key, sibling } of steps) {
        const padded = Buffer.concat([Buffer.alloc(3), key, Buffer.alloc(2)])
        const had = model.has(key, sibling)
        if (kind === 'add') {
          expect(routeTable.add(padded, 3, sibling)).toBe(!had)
          if (!had) model.list.push({ key, sibling })
        } else if (kind === 'remove') {
          expect(routeTable.remove(padded, 3, sibling)).toBe(had)
          model.list = model.list.filter((one) => one.key !== key || one.sibling !== sibling)
        } else {
          routeTable.forget(sibling)
          model.list = model.list.filter((one) => one.sibling !== sibling)
        }
        for (const one of keys) {
          expect(routeTable.find(one, 0)).toBe(model.best(one))
          expect(reported.get(toHex(one))).toBe(model.best(one))
        }
        expect(routeTable.size).toBe(new Set(model.list.map((one) => one.key)).size)
      }
    }),
    { numRuns: 200 },
  )
})

it('the route is the first sibling that had the key, and one of the same region before any other', () => {
  const [near, alsoNear, , far] = siblings as [FakeSibling, FakeSibling, FakeSibling, FakeSibling]
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
