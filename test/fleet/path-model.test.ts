// The line of round trips over distance: found again in measurements that were made from one, whatever else is in them.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { countriesWithPlace, placeOf } from '#fleet/country-places.ts'
import { fitPathModel, pathMs, typicalKm, USUAL_PATH } from '#fleet/path-model.ts'
import type { RegionNumbers } from '#fleet/region-numbers.ts'

const PLACES = [
  ['fra', 50, 9],
  ['nyc', 41, -74],
  ['sin', 1, 104],
] as const
const COUNTRIES = ['DE', 'FR', 'PL', 'US', 'BR', 'JP', 'IN', 'ZA', 'GB', 'CA', 'AU', 'KE']

/** Regions whose relays measure clients of each country by a line, and noise. */
function measured(
  line: { readonly baseMs: number; readonly msPerKm: number },
  noise: (at: number) => number,
): readonly RegionNumbers[] {
  return PLACES.map(([code, latitude, longitude], region) => ({
    id: 900 + region,
    code,
    name: code,
    latitude,
    longitude,
    state: 'active' as const,
    relays: 1,
    relaysHeard: 1,
    clients: 0,
    homeClients: 0,
    bytesPerSecond: 0,
    peakBytesPerSecond: 0,
    hasCountries: true,
    countries: COUNTRIES.map((country, at) => {
      const from = placeOf(country)
      const km = from === undefined ? 0 : typicalKm(from, { latitude, longitude })
      const ms = line.baseMs + line.msPerKm * km
      return { country, clients: 50, medianMs: ms + noise(region * COUNTRIES.length + at), homeClients: 0 }
    }),
  }))
}

it('finds the line again, in spite of noise and of a sixth of odd ones', () => {
  const lines = fc.record({
    baseMs: fc.integer({ min: 2, max: 40 }),
    msPerKm: fc.double({ min: 0.011, max: 0.028, noNaN: true }),
  })
  fc.assert(
    fc.property(lines, fc.integer(), (line, seed) => {
      // Detours: of every sixth pair, so many ms more.
      const noise = (at: number): number => (at % 6 === Math.abs(seed % 6) ? 150 : Math.sin(seed + at) * 4)
      const model = fitPathModel(measured(line, noise))
      expect(model.pairs).toBe(36)
      for (const km of [500, 3_000, 9_000]) {
        const exact = pathMs({ ...line, pairs: 0 }, km)
        expect(Math.abs(pathMs(model, km) - exact)).toBeLessThan(5 + 0.12 * exact)
      }
    }),
  )
})

it('is the usual line where little was measured, of few clients, or of one distance', () => {
  const line = { baseMs: 30, msPerKm: 0.02 }
  const all = measured(line, () => 0)
  const changed = (change: (one: RegionNumbers) => Partial<RegionNumbers>): readonly RegionNumbers[] =>
    all.map((one) => Object.assign({}, one, change(one)))
  const few = changed(({ countries }) => ({ countries: countries.slice(0, 2) }))
  const alone = changed(({ countries }) => ({
    countries: countries.map(({ country, medianMs }) => ({ country, medianMs, clients: 4, homeClients: 0 })),
  }))
  const near = changed(({ countries }) => ({ countries: countries.slice(0, 3) })).slice(0, 1)
  const nowhere = changed(() => ({ latitude: undefined }))
  for (const regions of [[], few, alone, near, nowhere]) expect(fitPathModel(regions)).toEqual(USUAL_PATH)
})

it('is never faster than light, nor slower than a detour round the world', () => {
  expect(fitPathModel(measured({ baseMs: 5, msPerKm: 0 }, () => 0)).msPerKm).toBe(0.01)
  expect(fitPathModel(measured({ baseMs: 5, msPerKm: 1 }, () => 0)).msPerKm).toBe(0.03)
})

it('has a place for each country', () => {
  for (const country of countriesWithPlace()) {
    const place = placeOf(country)
    expect([
      country,
      place !== undefined && Math.abs(place.latitude) <= 90 && Math.abs(place.longitude) <= 180,
    ]).toEqual([country, true])
  }
  expect(countriesWithPlace().length).toBe(250)
})
