// Advice on populations that are simulated client by client: it finds the place that helps most, by a brute force that knows every
// client, and names none where none helps.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { advise, type Advice } from '#fleet/advice.ts'
import { CLOUD_PLACES, type CloudPlace } from '#fleet/cloud-places.ts'
import { countriesWithPlace, placeOf } from '#fleet/country-places.ts'
import { distanceKm } from '#fleet/distance.ts'
import { fitPathModel, USUAL_PATH } from '#fleet/path-model.ts'
import type { RegionNumbers } from '#fleet/region-numbers.ts'
import {
  bestPlace,
  cloudPlace,
  populationOf,
  randomOf,
  toldOf,
  trueGain,
  type Client,
} from './fleet-population.ts'

function adviceFor(clients: readonly Client[], places: readonly CloudPlace[]): Advice {
  const told = toldOf(clients, places)
  return advise(told, CLOUD_PLACES, fitPathModel(told))
}

function placesOf(...names: readonly string[]): readonly CloudPlace[] {
  return names.map(cloudPlace)
}

describe('a planted place', () => {
  it.each([
    ['São Paulo', ['Frankfurt', 'New York'], { DE: 900, US: 1_500, BR: 300, JP: 40 }],
    ['Singapore', ['Frankfurt', 'New York'], { DE: 2_000, FR: 800, SG: 500, MY: 200, ID: 300, US: 100 }],
    ['Johannesburg', ['London'], { GB: 3_000, ZA: 400, IE: 300 }],
    ['Sydney', ['Tokyo', 'Singapore'], { JP: 500, AU: 400, NZ: 80, SG: 100 }],
    ['Nairobi', ['Frankfurt', 'Johannesburg'], { DE: 300, ZA: 200, KE: 250, UG: 60 }],
  ])('is %s', (name, places, sizes) => {
    const clients = populationOf(new Map(Object.entries(sizes)), 1)
    const { places: found, located } = adviceFor(clients, placesOf(...places))
    expect(located).toBe(clients.length)
    const [best] = found
    const truth = trueGain(clients, placesOf(...places), cloudPlace(name))
    // The brute force may see a neighbour as good.
    expect(distanceKm(bestPlace(clients, placesOf(...places)), cloudPlace(name))).toBeLessThan(1_200)
    expect(best?.place.name).toBe(name)
    expect(Math.abs((best?.clients ?? 0) - truth.clients)).toBeLessThan(0.15 * truth.clients)
    expect(best?.nowMs).toBeCloseTo(truth.nowMs, -1.5)
    expect(Math.abs((best?.thenMs ?? 0) - truth.thenMs)).toBeLessThan(5 + 0.3 * truth.thenMs)
  })
})

/** Any countries, any regions. */
function world(seed: number): {
  readonly clients: readonly Client[]
  readonly places: readonly CloudPlace[]
} {
  const random = randomOf(seed)
  const pick = <One>(list: readonly One[]): One => list[Math.floor(random() * list.length)] as One
  const countries = countriesWithPlace()
  const sizes = new Map(
    Array.from({ length: 3 + Math.floor(random() * 12) }, () => [
      pick(countries),
      5 + Math.floor(random() ** 3 * 300),
    ]),
  )
  const places = new Set(Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(CLOUD_PLACES)))
  return { clients: populationOf(sizes, seed), places: [...places] }
}

describe('is nearly as good as the best of all places', () => {
  /** Fewer are not worth a region, or are within what a week changes. */
  const clientsMin = (clients: readonly Client[]): number => Math.max(25, 0.1 * clients.length)

  /**
   * The largest gain of a place that many would move to, counting only countries that are clear of the threshold of moving:
   * relays tell a median of each, and what a path would take that nobody has measured is known to a fifth, so that nobody
   * can tell how many move of a country at the threshold.
   */
  function clearGainMs(clients: readonly Client[], places: readonly CloudPlace[]): number {
    const countries = [...Map.groupBy(clients, ({ country }) => country).values()]
    const gains = CLOUD_PLACES.map((next) => {
      const gained = countries
        .map((group) => ({ group, gain: trueGain(group, places, next, 1.2) }))
        .filter(({ group, gain }) => gain.clients >= 0.75 * group.length)
        .map(({ gain }) => gain)
      const moved = gained.reduce((sum, one) => sum + one.clients, 0)
      return moved < clientsMin(clients) ? 0 : gained.reduce((sum, one) => sum + one.gainMs, 0)
    })
    return Math.max(...gains)
  }

  it('in any world, as far as medians can tell', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
        const { clients, places } = world(seed)
        const [advice] = adviceFor(clients, places).places
        const truth = advice === undefined ? undefined : trueGain(clients, places, advice.place)
        // It may prefer a country at the threshold, of which half move, to one that moves as a whole.
        expect(truth?.gainMs ?? 0).toBeGreaterThanOrEqual(0.5 * clearGainMs(clients, places))
        expect(truth?.clients ?? 0).toBeGreaterThanOrEqual(0.33 * (advice?.clients ?? 0))
      }),
      { numRuns: 30 },
    )
  })

  it('over many worlds, and as many move as it says', () => {
    const sums = { gainMs: 0, bestMs: 0, moved: 0, said: 0 }
    for (const seed of fc.sample(fc.integer({ min: 1, max: 1e9 }), 30)) {
      const { clients, places } = world(seed)
      sums.bestMs += trueGain(clients, places, bestPlace(clients, places)).gainMs
      const [advice] = adviceFor(clients, places).places
      if (advice === undefined) continue
      const truth = trueGain(clients, places, advice.place)
      sums.gainMs += truth.gainMs
      sums.moved += truth.clients
      sums.said += advice.clients
    }
    expect(sums.gainMs / sums.bestMs).toBeGreaterThan(0.97)
    expect(Math.abs(sums.moved / sums.said - 1)).toBeLessThan(0.07)
  })
})

describe('no place helps', () => {
  it('where each country has its region', () => {
    const sizes = new Map([
      ['DE', 400],
      ['SG', 300],
      ['AE', 200],
      ['KR', 500],
    ])
    const regions = placesOf('Frankfurt', 'Singapore', 'Dubai', 'Seoul')
    const clients = populationOf(sizes, 3)
    for (const place of CLOUD_PLACES)
      expect(trueGain(clients, regions, place).clients).toBeLessThan(0.05 * clients.length)
    expect(adviceFor(clients, regions).places).toEqual([])
  })

  it('for a connection that is slow everywhere: a nearer region does not change it', () => {
    const clients = populationOf(new Map([['DE', 400]]), 4).map((client) =>
      Object.assign({}, client, { lastMileMs: client.lastMileMs + 150 }),
    )
    expect(adviceFor(clients, placesOf('Amsterdam')).places).toEqual([])
  })

  it('for a handful of clients', () => {
    const clients = populationOf(
      new Map([
        ['DE', 2_000],
        ['NZ', 30],
        ['BR', 9],
      ]),
      5,
    )
    expect(adviceFor(clients, placesOf('Frankfurt')).places).toEqual([])
  })

  it('without clients, and without countries', () => {
    const told = toldOf(populationOf(new Map([['BR', 100]]), 6), placesOf('Frankfurt'))
    const blind = told.map((region) =>
      Object.assign({}, region, {
        countries: [{ country: 'unknown', clients: 100, medianMs: 200, homeClients: 100, homeMedianMs: 200 }],
      }),
    )
    expect(advise(blind, CLOUD_PLACES, USUAL_PATH)).toEqual({
      clients: 100,
      located: 0,
      places: [],
      idle: [],
    })
    expect(advise([], CLOUD_PLACES, USUAL_PATH)).toEqual({ clients: 0, located: 0, places: [], idle: [] })
  })
})

it('names further places for those whom the first would not move', () => {
  const sizes = new Map([
    ['DE', 500],
    ['BR', 400],
    ['SG', 300],
    ['ZA', 200],
    ['NZ', 100],
  ])
  const { places } = adviceFor(populationOf(sizes, 7), placesOf('Frankfurt'))
  const countries = places.map(({ groups }) => groups.map(({ country }) => country).sort())
  expect(places.length).toBe(3)
  expect(new Set(countries.flat()).size).toBe(countries.flat().length)
  expect(countries.flat()).not.toContain('DE')
  expect(places.map(({ clients }) => clients).reduce((sum, count) => sum + count)).toBe(1_000)
})

it('judges a report of any size by its largest groups', () => {
  // As much as is read of an answer; nearly all regions are idle, so that each of their groups looks for another region.
  const countries = countriesWithPlace().map((country, at) => ({
    country,
    clients: 2 + at,
    medianMs: 300,
    homeClients: 1,
    homeMedianMs: 300,
  }))
  const place = (at: number): CloudPlace => ({
    name: `${at}`,
    latitude: (at % 170) - 85,
    longitude: (at % 350) - 175,
  })
  const regions = Array.from({ length: 1_000 }, (_, at): RegionNumbers => {
    const [told] = toldOf([], [place(at)])
    if (told === undefined) throw new Error('no region')
    return Object.assign({}, told, { id: at + 1, countries, homeClients: at < 50 ? 1e6 : 0 })
  })
  const { places, idle } = advise(
    regions,
    Array.from({ length: 1_000 }, (_, at) => place(at + 0.5)),
    USUAL_PATH,
  )
  expect(idle).toHaveLength(950)
  const groups = places.flatMap((one) => one.groups)
  expect(groups.length).toBeGreaterThan(0)
  expect(groups.length).toBeLessThanOrEqual(2_000)
})

describe('a region', () => {
  const sizes = new Map([
    ['DE', 800],
    ['US', 300],
  ])
  const told = toldOf(populationOf(sizes, 8), placesOf('Frankfurt', 'Ashburn', 'Tokyo'))
  const idleOf = (change: Partial<RegionNumbers>): Advice['idle'] =>
    advise(
      told.map((region) => (region.code === 'Tokyo' ? Object.assign({}, region, change) : region)),
      CLOUD_PLACES,
      USUAL_PATH,
    ).idle

  it('that nobody has as home is idle', () => {
    expect(idleOf({})).toMatchObject([{ region: { code: 'Tokyo' }, clients: 0, nowMs: undefined }])
  })

  it('that a few have as home is idle, and they have somewhere to go', () => {
    const countries = [{ country: 'JP', clients: 4, medianMs: 12, homeClients: 4, homeMedianMs: 12 }]
    const [idle] = idleOf({ countries, homeClients: 4 })
    expect(idle).toMatchObject({ clients: 4, nowMs: 12 })
    const japan = placeOf('JP') ?? { latitude: 0, longitude: 0 }
    const km = Math.min(...placesOf('Frankfurt', 'Ashburn').map((place) => distanceKm(place, japan)))
    expect(idle?.thenMs).toBeGreaterThan(0.01 * km)
    expect(idle?.thenMs).toBeLessThan(0.03 * km)
  })

  it('is not idle with clients that were not measured, nor while a relay of it is not heard, nor while it drains', () => {
    expect(idleOf({ homeClients: 100 })).toEqual([])
    expect(idleOf({ relays: 2 })).toEqual([])
    expect(idleOf({ relaysHeard: 0, relays: 0 })).toEqual([])
    expect(idleOf({ state: 'draining' })).toEqual([])
  })

  it('of a fleet that has just started is not idle', () => {
    expect(advise(toldOf([], placesOf('Frankfurt', 'Tokyo')), CLOUD_PLACES, USUAL_PATH).idle).toEqual([])
  })
})
