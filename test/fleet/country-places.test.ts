// The table of countries' places beside another source: geoip-lite's tables of cities, weighted by addresses.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { placeOf } from '#fleet/country-places.ts'
import { distanceKm, type Place } from '#fleet/distance.ts'

const folder = join(createRequire(import.meta.url).resolve('geoip-lite/package.json'), '..', 'data')
/** First address, last address, location, latitude and longitude in ten thousandths of a degree, area. */
const RECORD_BYTES = 24
const LOCATION_BYTES = 88
/** Few addresses, in few places: their mean says nothing. */
const ADDRESSES_MIN = 100_000

/** The mean of all places by country, as a vector from the middle of the earth. */
function meansOfCities(): ReadonlyMap<string, Place> {
  const cities = readFileSync(join(folder, 'geoip-city.dat'))
  const locations = readFileSync(join(folder, 'geoip-city-names.dat'))
  const sums = new Map<string, { x: number; y: number; z: number; addresses: number }>()
  for (let at = 0; at < cities.length; at += RECORD_BYTES) {
    const location = cities.readUInt32BE(at + 8) * LOCATION_BYTES
    if (location >= locations.length) continue
    const country = locations.toString('latin1', location, location + 2)
    const addresses = cities.readUInt32BE(at + 4) - cities.readUInt32BE(at) + 1
    const [latitude, longitude] = [12, 16].map(
      (field) => (cities.readInt32BE(at + field) / 1e4) * (Math.PI / 180),
    )
    const sum = sums.get(country) ?? { x: 0, y: 0, z: 0, addresses: 0 }
    sum.x += addresses * Math.cos(latitude ?? 0) * Math.cos(longitude ?? 0)
    sum.y += addresses * Math.cos(latitude ?? 0) * Math.sin(longitude ?? 0)
    sum.z += addresses * Math.sin(latitude ?? 0)
    sum.addresses += addresses
    sums.set(country, sum)
  }
  const large = [...sums].filter(
    ([country, { addresses }]) => /^[A-Z]{2}$/.test(country) && addresses >= ADDRESSES_MIN,
  )
  return new Map(
    large.map(([country, { x, y, z }]) => [
      country,
      {
        latitude: (Math.atan2(z, Math.hypot(x, y)) * 180) / Math.PI,
        longitude: (Math.atan2(y, x) * 180) / Math.PI,
      },
    ]),
  )
}

it('agrees with the cities of geoip-lite', () => {
  const means = meansOfCities()
  expect(means.size).toBeGreaterThan(150)
  const far = [...means].flatMap(([country, mean]) => {
    const place = placeOf(country)
    const km = place === undefined ? Infinity : distanceKm(place, mean)
    // A third of a day's drive: 450 km are 7 ms.
    return km > 450 ? [`${country}: ${Math.round(km)} km`] : []
  })
  expect(far).toEqual([])
})
