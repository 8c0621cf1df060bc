import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import { HeldMap } from '#fleet/held-map.ts'
import { fileMap, liveMap } from '#fleet/live-map.ts'
import { NodeState, type SeenStateOf } from '#fleet/node-state.ts'
import type { Region } from '#fleet/region.ts'
import { fileContents, readBack, stateIn } from './fleet-arbitraries.ts'

const { up, down, draining } = NodeState
const HOLD_DOWNS = { removalMs: 60_000, returnMs: 120_000 }

const node = (name: string) => ({ name, hostname: `${name}.example` })
const FLEET: readonly Region[] = [
  { id: 900, code: 'fra', name: 'fra', nodes: [node('900a'), node('900b')] },
  { id: 901, code: 'nyc', name: 'nyc', nodes: [node('901a')] },
  { id: 902, code: 'sgp', name: 'sgp', nodes: [node('902a')] },
]

const NAMES = FLEET.flatMap(({ nodes }) => nodes.map(({ name }) => name))

/** A fleet seen by one relay, on a clock that the test moves. */
class Watched {
  nowMs = 1_000
  /** Undefined: unknown. */
  readonly states = new Map<string, NodeState | undefined>()
  readonly map: HeldMap

  /** @param away by the map before a restart; then nothing is known of any node */
  constructor(regions: readonly Region[] = FLEET, away?: ReadonlyMap<string, NodeState>) {
    this.map = new HeldMap({ regions, away, holdDowns: HOLD_DOWNS, now: () => this.nowMs })
    if (away !== undefined) for (const name of NAMES) this.states.set(name, undefined)
    this.map.update(this.stateOf)
  }

  readonly stateOf: SeenStateOf = (name) => (this.states.has(name) ? this.states.get(name) : up)

  /** The names in the map after some time in these states. */
  after(ms: number, states: Readonly<Record<string, NodeState | undefined>>): string {
    for (const [name, state] of Object.entries(states)) this.states.set(name, state)
    this.map.update(this.stateOf)
    this.nowMs += ms
    this.map.update(this.stateOf)
    return this.told
  }

  get told(): string {
    return this.map.regions
      .map(({ nodes, state }) => nodes.map(({ name }) => name).join('+') + (state === 'draining' ? '!' : ''))
      .join(' ')
  }
}

const ALL = '900a+900b 901a 902a'

describe('a relay that has just started', () => {
  const AWAY = new Map([
    ['900b', draining],
    ['901a', down],
  ])
  const KEPT = '900a+900b 902a'

  test('begins with the map that it served last, and knows what to keep of it', () => {
    const watched = new Watched(FLEET, AWAY)
    expect(watched.told).toBe(KEPT)
    expect(watched.map.away).toEqual(AWAY)
    expect(new Watched(FLEET, new Map([['900a', down]])).told).toBe('900b 901a 902a')
    expect(new Watched(FLEET, new Map()).told).toBe(ALL)
  })

  test('drops nobody of whom it has not heard, and brings nobody back', () => {
    const watched = new Watched(FLEET, AWAY)
    expect(watched.after(600_000, {})).toBe(KEPT)
    expect(watched.map.isStale).toBe(false)
    // It turns out that one is gone as before, and the other is back.
    expect(watched.after(600_000, { '901a': down })).toBe(KEPT)
    expect(watched.after(119_999, { '901a': up })).toBe(KEPT)
    expect(watched.after(1, {})).toBe(ALL)
    expect(watched.map.away).toEqual(new Map([['900b', draining]]))
  })

  test('does not count the time in which it knew nothing', () => {
    const watched = new Watched(FLEET, AWAY)
    watched.after(100_000, { '901a': up, '902a': down })
    watched.after(1_000, { '901a': undefined, '902a': undefined })
    expect(watched.after(50_000, { '901a': up, '902a': down })).toBe('900a+900b')
    expect(watched.after(119_999 - 50_000, {})).toBe('900a+900b')
    expect(watched.after(1, {})).toBe('900a+900b 901a')
  })

  test('whose file has other nodes now, takes those that it has', () => {
    const other = [{ ...FLEET[0], id: 950, nodes: [node('950a'), node('900b')] } as Region]
    const watched = new Watched(other, AWAY)
    expect(watched.told).toBe('950a+900b')
    expect(watched.map.away).toEqual(new Map([['900b', draining]]))
  })

  test('that knew of no live relay begins with the whole file', () => {
    expect(new Watched(FLEET, new Map(NAMES.map((name) => [name, down]))).told).toBe(ALL)
  })
})

test('hold-downs may change while they run', () => {
  const watched = new Watched()
  watched.after(20_000, { '901a': down })
  watched.map.useHoldDowns({ removalMs: 20_000, returnMs: 30_000 })
  expect(watched.after(0, {})).toBe('900a+900b 902a')
  expect(watched.after(29_999, { '901a': up })).toBe('900a+900b 902a')
  expect(watched.after(1, {})).toBe(ALL)
})

describe('hold-downs', () => {
  test('a node leaves after one, and returns after the other', () => {
    const watched = new Watched()
    expect(watched.after(59_999, { '901a': down })).toBe(ALL)
    expect(watched.after(1, {})).toBe('900a+900b 902a')
    expect(watched.after(119_999, { '901a': up })).toBe('900a+900b 902a')
    expect(watched.after(1, {})).toBe(ALL)
    expect(watched.map.changes).toEqual({ removals: 1, returns: 1, edits: 0 })
  })

  test('a blip is no change, however often', () => {
    const watched = new Watched()
    for (let i = 0; i < 100; i++) {
      expect(watched.after(59_000, { '901a': down })).toBe(ALL)
      expect(watched.after(1_000, { '901a': up })).toBe(ALL)
    }
    expect(watched.map.changes).toEqual({ removals: 0, returns: 0, edits: 0 })
  })

  test('a relay that fails again and again stays out', () => {
    const watched = new Watched()
    watched.after(60_000, { '901a': down })
    for (let i = 0; i < 100; i++) {
      expect(watched.after(119_000, { '901a': up })).toBe('900a+900b 902a')
      watched.after(1_000, { '901a': down })
    }
    expect(watched.map.changes.removals).toBe(1)
  })

  test('a drain and the restart after it are one absence, and a short one changes nothing', () => {
    const watched = new Watched()
    watched.after(40_000, { '901a': draining })
    expect(watched.after(19_999, { '901a': down })).toBe(ALL)
    expect(watched.after(1, {})).toBe('900a+900b 902a')
    const quick = new Watched()
    quick.after(40_000, { '901a': draining })
    quick.after(10_000, { '901a': down })
    expect(quick.after(600_000, { '901a': up })).toBe(ALL)
  })

  test('a region that is drained for long is marked', () => {
    expect(new Watched().after(60_000, { '901a': draining })).toBe('900a+900b 901a! 902a')
  })

  test('two changes of one region are a hold-down apart', () => {
    const watched = new Watched()
    watched.after(30_000, { '900a': down })
    expect(watched.after(30_000, { '900b': down })).toBe('900b 901a 902a')
    // 900b has been away for a hold-down here, but the region has changed since.
    expect(watched.after(59_999, {})).toBe('900b 901a 902a')
    expect(watched.after(1, {})).toBe('900b 901a 902a')
    expect(watched.map.isStale).toBe(true)
  })
})

test('a node that is back before clients are told of its absence has not been away', () => {
  const regions = [{ id: 900, code: 'a', name: 'a', nodes: ['a', 'b', 'c', 'd'].map(node) }]
  const watched = new Watched(regions)
  watched.after(50_000, { a: down })
  expect(watched.after(10_000, { b: down })).toBe('b+c+d')
  // b has been away for a hold-down, but the region has changed since.
  expect(watched.after(55_000, {})).toBe('b+c+d')
  expect(watched.after(10_000, { b: up })).toBe('b+c+d')
  expect(watched.after(600_000, {})).toBe('b+c+d')
  expect(watched.map.changes.removals).toBe(1)
})

describe("the operator's file", () => {
  test('applies at once, and counts apart', () => {
    const watched = new Watched()
    watched.map.useFile(
      FLEET.map((region) => (region.id === 901 ? { ...region, state: 'draining' } : region)),
    )
    expect(watched.after(0, {})).toBe('900a+900b 901a! 902a')
    watched.map.useFile(FLEET.filter(({ id }) => id !== 901))
    expect(watched.after(0, {})).toBe('900a+900b 902a')
    watched.map.useFile(FLEET)
    expect(watched.after(0, {})).toBe(ALL)
    expect(watched.map.changes).toEqual({ removals: 0, returns: 0, edits: 3 })
  })

  test('a region that is added is in the map when its relay is up', () => {
    const watched = new Watched()
    watched.map.useFile([...FLEET, { id: 903, code: 'x', name: 'x', nodes: [node('903a')] }])
    expect(watched.after(600_000, { '903a': down })).toBe(ALL)
    expect(watched.after(120_000, { '903a': up })).toBe(`${ALL} 903a`)
  })

  test('a region that gets another number is replaced', () => {
    const watched = new Watched()
    watched.map.useFile(FLEET.map((region) => (region.id === 902 ? { ...region, id: 910 } : region)))
    watched.after(0, {})
    expect(watched.map.regions.map(({ id }) => id)).toEqual([900, 901, 910])
  })
})

describe('a relay that does not see the majority', () => {
  test('keeps all regions, marks the map as stale, and recovers', () => {
    const watched = new Watched()
    expect(watched.after(600_000, { '900b': down, '901a': down, '902a': down })).toBe(ALL)
    expect(watched.map.isStale).toBe(true)
    // Clients were not told that the two were away. The third may be back any moment.
    expect(watched.after(59_999, { '900b': up, '902a': up })).toBe(ALL)
    expect(watched.map.isStale).toBe(false)
    expect(watched.after(1, {})).toBe('900a+900b 902a')
    expect(watched.map.changes).toEqual({ removals: 1, returns: 0, edits: 0 })
  })

  test('follows an edit of the file, also of a region that it does not see', () => {
    const watched = new Watched()
    watched.after(600_000, { '900b': down, '901a': down, '902a': down })
    const renamed = FLEET.map((region) => ({ ...region, name: `new ${region.code}` }))
    const added = { id: 903, code: 'ams', name: 'ams', nodes: [node('903a')] }
    watched.map.useFile([...renamed, added])
    expect(watched.after(0, {})).toBe('900a 901a 902a 903a')
    expect(watched.map.regions.map(({ name }) => name)).toEqual(['new fra', 'new nyc', 'new sgp', 'ams'])
    expect(watched.map.isStale).toBe(true)
    expect(watched.after(600_000, {})).toBe('900a 901a 902a 903a')
    watched.map.useFile([...renamed.slice(0, 2), added])
    expect(watched.after(0, {})).toBe('900a 901a 903a')
  })

  test('may be told of the majority by one that knows more than the states', () => {
    const watched = new Watched()
    watched.states.set('901a', down)
    const untilS = (seconds: number, hasMajority: boolean): string => {
      for (; watched.nowMs < seconds * 1_000; watched.nowMs += 1_000) {
        watched.map.update(watched.stateOf, hasMajority)
      }
      return watched.told
    }
    expect(untilS(200, false)).toBe(ALL)
    expect(watched.map.isStale).toBe(true)
    expect(untilS(259, true)).toBe(ALL)
    expect(untilS(300, true)).toBe('900a+900b 902a')
  })

  test('half of the relays are no majority', () => {
    expect(new Watched().after(600_000, { '901a': down, '902a': down })).toBe(ALL)
  })

  test('a standby is no relay of its own, and relays of a region that is off need not run', () => {
    const standby = { name: '901s', hostname: '900a.example', isStandby: true }
    const two: readonly Region[] = [
      { id: 900, code: 'a', name: 'a', nodes: [node('900a'), node('900b')] },
      { id: 901, code: 'b', name: 'b', nodes: [node('901a')] },
      { id: 902, code: 'c', name: 'c', nodes: [standby] },
      { id: 903, code: 'd', name: 'd', state: 'off', nodes: ['v', 'w', 'x', 'y', 'z'].map(node) },
    ]
    const off = Object.fromEntries(['v', 'w', 'x', 'y', 'z'].map((name) => [name, down]))
    expect(new Watched(two).after(60_000, { ...off, '901a': down })).toBe('900a+900b 901s')
    // Two nodes are up, but one relay of three.
    expect(new Watched(two).after(60_000, { ...off, '901a': down, '900b': down })).toBe('900a+900b 901a 901s')
  })

  test('still drops a node of a region that stays: two relays of one region are a fleet', () => {
    const pair = FLEET.slice(0, 1)
    const watched = new Watched(pair)
    expect(watched.after(60_000, { '900a': down })).toBe('900b')
    expect(watched.map.isStale).toBe(false)
  })

  test('nobody is up: the last map', () => {
    const watched = new Watched()
    expect(watched.after(600_000, { '900a': down, '900b': down, '901a': down, '902a': down })).toBe(ALL)
    expect(watched.map.isStale).toBe(true)
    for (const name of ['900a', '900b', '901a', '902a'])
      expect(watched.after(1_000, { [name]: up })).toBe(ALL)
    for (let second = 0; second < 300; second++) expect(watched.after(1_000, {})).toBe(ALL)
    expect(watched.map.changes).toEqual({ removals: 0, returns: 0, edits: 0 })
  })
})

/** A walk of a fleet: after each of these times, the states of all nodes, in which few have changed. */
const walk = fileContents.chain((contents) => {
  const names = readBack(contents).flatMap(({ nodes }) => nodes.map(({ name }) => name))
  const change = fc.tuple(fc.constantFrom(...names), fc.constantFrom(up, down, down, draining))
  const step = fc.record({
    ms: fc.integer({ min: 0, max: 50_000 }),
    changes: fc.array(change, { maxLength: 3 }),
  })
  return fc.array(step, { maxLength: 60 }).map((steps) => {
    const states = new Map(names.map((name) => [name, up as NodeState]))
    return {
      contents,
      steps: steps.map(({ ms, changes }) => {
        for (const [name, state] of changes) states.set(name, state)
        return { ms, states: new Map(states) }
      }),
    }
  })
})

test('on any walk of states the map is never empty, and a region changes at most once in a hold-down', () => {
  fc.assert(
    fc.property(walk, ({ contents, steps }) => {
      const regions = readBack(contents)
      let nowMs = 0
      const held = new HeldMap({ regions, holdDowns: HOLD_DOWNS, now: () => nowMs })
      const texts = new Map(held.regions.map((region) => [region.id, JSON.stringify(region)]))
      const changedMs = new Map<number, number>()
      let changeCount = 0
      for (const { ms, states } of steps) {
        nowMs += ms
        held.update(stateIn(states))
        expect(held.regions).not.toEqual([])
        for (const { id } of regions) {
          const found = held.regions.find((region) => region.id === id)
          const text = found === undefined ? '' : JSON.stringify(found)
          if (text === (texts.get(id) ?? '')) continue
          expect(nowMs - (changedMs.get(id) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(60_000)
          changedMs.set(id, nowMs)
          texts.set(id, text)
          changeCount++
        }
      }
      expect(held.changes.removals + held.changes.returns).toBe(changeCount)
    }),
  )
})

test('after any two walks and a quiet while, two relays that see the same serve the same bytes', () => {
  const scenario = fc.tuple(walk, fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 10 }))
  fc.assert(
    fc.property(scenario, ([{ contents, steps }, others]) => {
      const regions = readBack(contents)
      const last = steps.at(-1)
      fc.pre(last !== undefined)
      const stateOf = stateIn(last?.states ?? new Map())
      const walks = [
        steps,
        // Another relay, which saw other parts of it.
        others.map((ms, at) => ({ ms, states: steps[(at * 7) % steps.length]?.states ?? new Map() })),
      ]
      const relays = walks.map((seen) => {
        let nowMs = 0
        const held = new HeldMap({ regions, holdDowns: HOLD_DOWNS, now: () => nowMs })
        for (const { ms, states } of seen) {
          nowMs += ms
          held.update(stateIn(states))
        }
        for (let quiet = 0; quiet < 6; quiet++) {
          nowMs += 60_000
          held.update(stateOf)
        }
        return held
      })
      fc.pre(relays.every(({ isStale }) => !isStale))
      for (const { regions: served } of relays) {
        expect(derpMapText('json', served)).toBe(
          derpMapText('json', liveMap(regions, stateOf, fileMap(regions))),
        )
      }
    }),
  )
})
