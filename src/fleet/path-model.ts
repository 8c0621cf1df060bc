// How long a round trip takes over a distance, as a straight line: so many milliseconds to begin with, and so many for each
// kilometre. Fitted to what the fleet's relays have measured, where that is enough, else a constant. It stands in for
// measurements that nobody has made. Pure arithmetic, of bounded cost.

import { placeOf, type CountryPlace } from './country-places.ts'
import { distanceKm, placeIn, type Place } from './distance.ts'
import type { RegionNumbers } from './region-numbers.ts'

export interface PathModel {
  /** The way from a client to its provider's network, and what relays and clients add. */
  readonly baseMs: number
  readonly msPerKm: number
  /** Pairs of country and region that it was fitted to; 0: it is the constant. */
  readonly pairs: number
}

/**
 * Light in fibre takes 0.010 ms for each km, there and back; cables and routes are about 1.6 times as long as the way as the crow
 * flies (Frankfurt to New York, 6,200 km: 82 ms; London to Singapore, 10,900 km: 165 ms). The base is that of a wired connection.
 */
export const USUAL_PATH: PathModel = { baseMs: 8, msPerKm: 0.016, pairs: 0 }

/** Less is faster than light in fibre, more is a detour round the world: a fit beyond is of something else. */
const MS_PER_KM = { min: 0.01, max: 0.03 }
const BASE_MS = { min: 1, max: 60 }
/** A median of fewer clients says little of their country. */
export const MEASURED_CLIENTS_MIN = 5
/** With fewer, two odd ones decide. */
const PAIRS_MIN = 8
/** The largest are taken: five thousand slopes. */
const PAIRS_MAX = 100
/** Over shorter differences of distance, the slope is that of providers and not of distance. */
const DIFFERENCE_KM_MIN = 1_000
/** The middle half of the distances must be so far apart, or there is no slope to see. */
const QUARTILES_KM_MIN = 1_000

interface Pair {
  readonly km: number
  readonly ms: number
  readonly clients: number
}

/** How far a typical person of the country is from a place. Not zero in the country itself. */
export function typicalKm(country: CountryPlace, place: Place): number {
  return Math.hypot(distanceKm(country, place), country.spreadKm)
}

export function pathMs({ baseMs, msPerKm }: PathModel, km: number): number {
  return baseMs + msPerKm * km
}

/** The line through the pairs of country and region that have been measured: Theil and Sen's, which outliers do not turn. */
export function fitPathModel(regions: readonly RegionNumbers[]): PathModel {
  const pairs = regions
    .flatMap(measuredPairs)
    .toSorted((a, b) => b.clients - a.clients)
    .slice(0, PAIRS_MAX)
  const distances = pairs.map(({ km }) => km).toSorted((a, b) => a - b)
  const quartile = (share: number): number => distances[Math.floor(share * distances.length)] ?? 0
  if (pairs.length < PAIRS_MIN || quartile(0.75) - quartile(0.25) < QUARTILES_KM_MIN) return USUAL_PATH
  const slopes = pairs.flatMap((one, at) =>
    pairs.slice(at + 1).flatMap((other) => {
      const km = other.km - one.km
      return Math.abs(km) < DIFFERENCE_KM_MIN ? [] : [(other.ms - one.ms) / km]
    }),
  )
  const msPerKm = within(median(slopes), MS_PER_KM)
  const baseMs = within(median(pairs.map(({ km, ms }) => ms - msPerKm * km)), BASE_MS)
  return { baseMs, msPerKm, pairs: pairs.length }
}

function measuredPairs(region: RegionNumbers): readonly Pair[] {
  const place = placeIn(region)
  if (place === undefined) return []
  return region.countries.flatMap(({ country, clients, medianMs }) => {
    const from = placeOf(country)
    if (from === undefined || medianMs === undefined || clients < MEASURED_CLIENTS_MIN) return []
    return [{ km: typicalKm(from, place), ms: medianMs, clients }]
  })
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function within(value: number, { min, max }: { readonly min: number; readonly max: number }): number {
  return Math.min(max, Math.max(min, value))
}
