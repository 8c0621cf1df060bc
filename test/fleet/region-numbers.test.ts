// The numbers of regions from messages of relays, and the ranking of regions that follows.

import { describe, expect, it } from 'vitest'
import { COUNTRIES_TOLD_MAX, largestCountries, type CountryClients } from '#fleet/client-countries.ts'
import { FleetState } from '#fleet/fleet-state.ts'
import { USUAL_PATH } from '#fleet/path-model.ts'
import { regionNumbers } from '#fleet/region-numbers.ts'
import { rankRegions } from '#fleet/region-ranking.ts'
import { RegionState, type Region } from '#fleet/region.ts'
import type { RelayState } from '#fleet/relay-state.ts'
import { keyOf, messageOf, stateOf } from '../support/relay-states.ts'

const node = (name: string, isStandby?: boolean): Region['nodes'][number] => ({
  name,
  hostname: `${name}.lab`,
  isStandby,
})

const FILE: readonly Region[] = [
  {
    id: 900,
    code: 'fra',
    name: 'Frankfurt',
    latitude: 50,
    longitude: 9,
    nodes: [node('900a'), node('900b')],
  },
  { id: 901, code: 'nyc', name: 'New York', latitude: 41, longitude: -74, nodes: [node('901a')] },
  { id: 902, code: 'syd', name: 'Sydney', nodes: [node('902a'), node('902s', true)] },
  { id: 903, code: 'lab', name: 'Laboratory', state: RegionState.off, nodes: [node('903a')] },
]

function told(...countries: readonly CountryClients[]): Pick<RelayState, 'clients'> {
  return { clients: { isKnown: true, countries } }
}

/** The state as 900a knows it, which is a standby of Sydney as well. */
function fleetOf(states: Readonly<Record<string, Partial<RelayState>>>): FleetState {
  const own = stateOf('900a', { nodes: ['900a', '902s'], ...states['900a'] })
  const fleet = new FleetState({ now: () => 0, ownKey: own.key })
  fleet.setRelays(
    ['900a', '900b', '901a', '902a', '903a'].map((name) => ({
      name,
      nodes: name === '900a' ? ['900a', '902s'] : [name],
      isOwn: name === '900a',
    })),
  )
  fleet.takeOwn(own)
  for (const [name, changes] of Object.entries(states)) {
    if (name !== '900a') fleet.take(messageOf(name, changes), { key: keyOf(name), carrier: 'link' })
  }
  return fleet
}

const GERMANY = { country: 'DE', clients: 100, medianMs: 12, homeClients: 90, homeMedianMs: 11 }
const FLEET = fleetOf({
  '900a': told(GERMANY, { country: 'PL', clients: 4, medianMs: 30, homeClients: 4, homeMedianMs: 30 }),
  '900b': told(
    { country: 'DE', clients: 300, medianMs: 20, homeClients: 10, homeMedianMs: 21 },
    { country: 'other', clients: 7, homeClients: 1 },
  ),
  '901a': told({ country: 'DE', clients: 6, medianMs: 99, homeClients: 0 }),
})

it('adds what the relays of each region tell, and counts a standby where it belongs', () => {
  const numbers = regionNumbers(FILE, FLEET)
  expect(numbers.map(({ id, relays, relaysHeard, clients }) => [id, relays, relaysHeard, clients])).toEqual([
    [900, 2, 2, 24],
    [901, 1, 1, 12],
    [902, 1, 0, 0],
    [903, 1, 0, 0],
  ])
  expect(numbers[0]?.countries).toEqual([
    { country: 'DE', clients: 400, medianMs: 18, homeClients: 100, homeMedianMs: 12 },
    { country: 'PL', clients: 4, medianMs: 30, homeClients: 4, homeMedianMs: 30 },
    { country: 'other', clients: 7, medianMs: undefined, homeClients: 1, homeMedianMs: undefined },
  ])
  expect(numbers.map(({ hasCountries }) => hasCountries)).toEqual([true, true, false, false])
})

it('a relay that has ended counts no longer, and a region without relays is down', () => {
  const fleet = fleetOf({ '901a': { health: { state: 'ended', failing: [] }, ...told(GERMANY) } })
  const newYork = regionNumbers(FILE, fleet)[1]
  expect(newYork).toMatchObject({ state: 'down', relays: 1, relaysHeard: 0, clients: 0, countries: [] })
  const draining = fleetOf({ '901a': { health: { state: 'draining', failing: [] } } })
  expect(regionNumbers(FILE, draining).map(({ state }) => state)).toEqual([
    'active',
    'draining',
    'active',
    'off',
  ])
  // Its standby, which is Frankfurt's relay, does not change that.
  const sydney = fleetOf({ '902a': { health: { state: 'draining', failing: [] } } })
  expect(regionNumbers(FILE, sydney)[2]?.state).toBe('draining')
})

describe('the ranking', () => {
  const rank = (country: string | undefined, fleet = FLEET): ReturnType<typeof rankRegions> =>
    rankRegions(country, regionNumbers(FILE, fleet), USUAL_PATH)
  const shown = (country: string | undefined): readonly (readonly unknown[])[] =>
    rank(country).regions.map(({ rank: at, code, reason, roundTripMs, clients }) => [
      at,
      code,
      reason,
      roundTripMs,
      clients,
    ])

  it('takes what was measured for the country', () => {
    expect(shown('DE')).toEqual([
      [1, 'fra', 'measured', 18, 400],
      [2, 'nyc', 'measured', 99, 6],
      [3, 'syd', 'unknown', undefined, undefined],
    ])
  })

  it('goes by distance where nobody, or nearly nobody, was measured', () => {
    expect(shown('PL').map(([, code, reason]) => [code, reason])).toEqual([
      ['fra', 'distance'],
      ['nyc', 'distance'],
      ['syd', 'unknown'],
    ])
    expect(shown('CA').map(([, code]) => code)).toEqual(['nyc', 'fra', 'syd'])
    const [first] = rank('CA').regions
    // From the middle of Canada's people to New York, and their spread.
    expect(first?.distanceKm).toBeGreaterThan(1_300)
    expect(first?.roundTripMs).toBeCloseTo(8 + 0.016 * (first?.distanceKm ?? 0), 0)
  })

  it.each([undefined, 'unknown', 'other', 'ZZ'])('knows nothing of the country %s', (country) => {
    expect(shown(country).map(([, code, reason]) => [code, reason])).toEqual([
      ['fra', 'unknown'],
      ['nyc', 'unknown'],
      ['syd', 'unknown'],
    ])
  })

  it('names regions that no client should choose, with the reason', () => {
    const fleet = fleetOf({
      '901a': { health: { state: 'draining', failing: [] } },
      '902a': { health: { state: 'ended', failing: [] } },
    })
    const { regions, unavailable } = rank('DE', fleet)
    // Frankfurt's relay is Sydney's standby.
    expect(regions.map(({ code }) => code)).toEqual(['fra', 'syd'])
    expect(unavailable.map(({ code, reason }) => [code, reason])).toEqual([
      ['nyc', 'draining'],
      ['lab', 'off'],
    ])
  })
})

it('tells the largest countries, and the sum of the others', () => {
  const codes = Array.from({ length: 100 }, (_, at) => String.fromCharCode(65 + (at % 26), 65 + at / 26))
  const all = codes.map((country, at) => ({ country, clients: at + 1, medianMs: 10, homeClients: at }))
  const told65 = largestCountries([...all, { country: 'other', clients: 1_000, homeClients: 0 }])
  expect(told65).toHaveLength(COUNTRIES_TOLD_MAX + 1)
  expect(told65[0]?.clients).toBe(100)
  expect(told65.at(-1)).toMatchObject({ country: 'other', clients: 1_000 + (36 * 37) / 2 })
  const sum = told65.reduce((total, { clients }) => total + clients, 0)
  expect(sum).toBe(1_000 + (100 * 101) / 2)
})
