import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { derpMapText, MapFormat } from '#fleet/derp-map-writer.ts'
import { homeScore } from '#fleet/home-score.ts'
import { fileMap, liveMap } from '#fleet/live-map.ts'
import { NodeState } from '#fleet/node-state.ts'
import type { Region } from '#fleet/region.ts'
import { fileContents, nodeStates, readBack, stateIn } from './fleet-arbitraries.ts'

const { up, down, draining } = NodeState

const fleetAndStates = fileContents.chain((contents) =>
  fc.record({
    contents: fc.constant(contents),
    shuffled: fc.shuffledSubarray([...contents], { minLength: contents.length }),
    states: nodeStates(readBack(contents)),
  }),
)

function readMap(text: string): DerpMap {
  const map = readDerpMap(text)
  if ('fault' in map) throw new Error(map.fault)
  return map
}

/** What clients are to be told of a region, said once more in another way; undefined: nothing. */
function naive(
  region: Region,
  states: ReadonlyMap<string, NodeState>,
): { nodes: string[]; isDraining: boolean } | undefined {
  const stateOf = stateIn(states)
  const alive = region.nodes.filter(({ name }) => stateOf(name) !== down)
  if (region.state === 'off' || alive.length === 0) return undefined
  const regular = alive.filter((one) => !one.isStandby)
  const standby = alive.filter((one) => one.isStandby)
  const decisive = regular.length === 0 ? standby : regular
  const isEmptying = !decisive.some(({ name }) => stateOf(name) === up)
  return {
    nodes: [...regular, ...standby].map(({ name }) => name),
    isDraining: region.state === 'draining' || isEmptying,
  }
}

describe('for any file and any state of the fleet', () => {
  test.each(Object.values(MapFormat))(
    'the map for %s is valid and not empty, and says what the states say',
    (format) => {
      fc.assert(
        fc.property(fleetAndStates, ({ contents, states }) => {
          const regions = readBack(contents)
          const map = readMap(derpMapText(format, liveMap(regions, stateIn(states))))
          expect(map.problems).toEqual([])
          expect(map.regions).not.toEqual([])
          const expected = regions.map((region) => ({ region, told: naive(region, states) }))
          const live = expected.filter(({ told }) => told !== undefined)
          if (live.length === 0) {
            expect(map.regions.map(({ id }) => id)).toEqual(fileMap(regions).map(({ id }) => id))
            return
          }
          expect(map.regions.map(({ id }) => id)).toEqual(live.map(({ region }) => region.id))
          const hasHome = live.some(({ told }) => told?.isDraining === false)
          for (const [at, { region, told }] of live.entries()) {
            const read = map.regions[at]
            expect(read?.nodes.map(({ name }) => name)).toEqual(told?.nodes)
            const isMarked = region.state === 'draining' || (hasHome && told?.isDraining === true)
            expect(read?.state).toBe(isMarked ? 'draining' : undefined)
            expect(Math.abs((read?.latitude ?? 0) - (region.latitude ?? 0))).toBeLessThanOrEqual(0.000_051)
            expect(read?.longitude === undefined).toBe(region.longitude === undefined)
            const hasScores = format === 'json' || live.some((one) => one.region.preferWithinMs !== undefined)
            expect(map.scores.get(region.id)).toBe(hasScores ? homeScore(region.preferWithinMs) : undefined)
          }
        }),
      )
    },
  )

  test.each(Object.values(MapFormat))(
    'the bytes for %s are the same from every relay and for every order of the file',
    (format) => {
      fc.assert(
        fc.property(fleetAndStates, ({ contents, shuffled, states }) => {
          const here = liveMap(readBack(contents), stateIn(states))
          const there = liveMap(readBack(shuffled), stateIn(new Map([...states].toReversed())))
          expect(derpMapText(format, there)).toBe(derpMapText(format, here))
          // A relay that holds its regions in another order, as no file can.
          const unsorted = liveMap(readBack(contents).toReversed(), stateIn(states))
          expect(derpMapText(format, unsorted)).toBe(derpMapText(format, here))
        }),
      )
    },
  )

  test("a region's entry depends on nothing that happens elsewhere, while a home is left", () => {
    fc.assert(
      fc.property(fleetAndStates, fc.nat(), ({ contents, states }, seed) => {
        const regions = readBack(contents)
        const region = regions[seed % regions.length]
        const own = new Set(region?.nodes.map(({ name }) => name))
        const elsewhere = new Map([...states].map(([name, state]) => [name, own.has(name) ? state : up]))
        const entryIn = (map: readonly Region[]): string =>
          JSON.stringify(map.find(({ id }) => id === region?.id))
        const [before, after] = [liveMap(regions, stateIn(states)), liveMap(regions, stateIn(elsewhere))]
        const isLive = (map: readonly Region[], all: typeof states): boolean =>
          regions.some((one) => naive(one, all)?.isDraining === false) && map.length > 0
        fc.pre(isLive(before, states) && isLive(after, elsewhere))
        expect(entryIn(after)).toBe(entryIn(before))
      }),
    )
  })

  test('the map of a fleet that is up is that of the file alone', () => {
    fc.assert(
      fc.property(fileContents, (contents) => {
        const regions = readBack(contents)
        expect(
          derpMapText(
            'json',
            liveMap(regions, () => up),
          ),
        ).toBe(derpMapText('json', fileMap(regions)))
      }),
    )
  })

  test('without any live region it is the last map', () => {
    fc.assert(
      fc.property(fileContents, fileContents, (contents, earlier) => {
        const last = fileMap(readBack(earlier))
        expect(liveMap(readBack(contents), () => down, last)).toBe(last)
        expect(liveMap(readBack(contents), () => down)).toEqual(fileMap(readBack(contents)))
      }),
    )
  })
})

const node = (name: string, isStandby?: boolean) => ({ name, hostname: `${name}.example`, isStandby })
const FLEET: readonly Region[] = [
  { id: 900, code: 'fra', name: 'fra', nodes: [node('900s', true), node('900a'), node('900b')] },
  { id: 901, code: 'nyc', name: 'nyc', nodes: [node('901a')] },
]

function told(states: Readonly<Record<string, NodeState>>): readonly string[] {
  return liveMap(FLEET, (name) => states[name] ?? up).map(({ id, state = '', nodes }) =>
    `${id} ${nodes.map(({ name }) => name).join(' ')} ${state}`.trim(),
  )
}

test.each([
  ['all up: the standby is last', {}, ['900 900a 900b 900s', '901 901a']],
  ['one relay down', { '900a': down }, ['900 900b 900s', '901 901a']],
  ['one relay draining: a restart changes nothing', { '900a': draining }, ['900 900a 900b 900s', '901 901a']],
  ['a region draining', { '900a': draining, '900b': draining }, ['900 900a 900b 900s draining', '901 901a']],
  ['a region down but its standby', { '900a': down, '900b': down }, ['900 900s', '901 901a']],
  ['a region down', { '901a': down }, ['900 900a 900b 900s']],
  [
    'the last home draining: it stays a home',
    { '901a': down, '900a': draining, '900b': draining },
    ['900 900a 900b 900s'],
  ],
])('%s', (_case, states, expected) => {
  expect(told(states)).toEqual(expected)
})
