import { expect, it } from 'vitest'
import { MemoryReturn } from '#control/memory-return.ts'

/** How often memory was given back by the end of each look. */
function lookAt(counts: readonly number[], packetsPerLook = 0): number[] {
  let sessions = 0
  let packets = 0
  let given = 0
  const memoryReturn = new MemoryReturn({
    sessions: () => sessions,
    packets: () => (packets += packetsPerLook),
    giveBack: () => given++,
    giveBackStart: () => undefined,
  })
  return counts.map((count) => {
    sessions = count
    memoryReturn.look()
    return given
  })
}

it('gives memory back once, when many have left and the others stay', () => {
  expect(lookAt([0, 6_000, 12_000, 12_000, 7_000, 2_000, 10, 10, 10, 5, 0])).toEqual([
    0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1,
  ])
})

it('gives back again when as many have come and left again', () => {
  expect(lookAt([4_000, 0, 0, 0, 4_000, 100, 100])).toEqual([0, 0, 1, 1, 1, 1, 2])
})

it('waits for a moment without packets, and a minute at most', () => {
  const given = lookAt([4_000, ...Array.from({ length: 100 }, () => 0)], 5)
  expect(given.indexOf(1)).toBe(62)
  expect(given.at(-1)).toBe(1)
})

it.each([
  ['few clients', [900, 0, 0, 0]],
  ['a small part of them', [12_000, 9_500, 9_500, 9_500]],
  ['clients that are replaced', [12_000, 11_000, 12_000, 11_500, 12_000]],
])('gives nothing back for %s', (_what, counts) => {
  expect(lookAt(counts).at(-1)).toBe(0)
})

it.each([
  ['in the first moment after it in which nothing happens', [0, 0, 0, 0, 0, 0, 0, 0], 0, 5],
  ['not while clients come', [0, 0, 0, 0, 0, 10, 20, 30, 40, 40, 40], 0, 9],
  ['not when many clients wait for it', Array.from({ length: 100 }, () => 1_000), 0, -1],
  ['not while there are packets', Array.from({ length: 100 }, () => 2), 5, -1],
])('gives back what the start has left: %s', (_what, counts, packetsPerLook, at) => {
  let sessions = 0
  let packets = 0
  const given: number[] = []
  const memoryReturn = new MemoryReturn({
    sessions: () => sessions,
    packets: () => (packets += packetsPerLook),
    giveBack: () => undefined,
    giveBackStart: () => given.push(index),
  })
  let index = 0
  for (; index < counts.length; index++) {
    sessions = counts[index] ?? 0
    memoryReturn.look()
  }
  expect(given).toEqual(at < 0 ? [] : [at])
})
