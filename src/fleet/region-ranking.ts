// Which region is nearest to the clients of a country: by the round trips that the region's relays have measured to clients of
// that country, else by distance. Says for each region how it knows. A client's own measurement decides where it goes; this
// answers for places that cannot measure. A function of the regions' numbers.

import { isCountry } from './client-countries.ts'
import { placeOf } from './country-places.ts'
import { placeIn } from './distance.ts'
import { MEASURED_CLIENTS_MIN, pathMs, typicalKm, type PathModel } from './path-model.ts'
import type { RegionCondition, RegionNumbers } from './region-numbers.ts'
import { RegionState } from './region.ts'

/**
 * - `measured`: the median round trip of clients of this country to the region's relays.
 * - `distance`: what the way from the country to the region usually takes.
 * - `unknown`: the country or the region's coordinates are not known; such regions are last, in the order of their ids.
 */
export type RankReason = 'measured' | 'distance' | 'unknown'

export interface RankedRegion {
  readonly rank: number
  readonly id: number
  readonly code: string
  readonly name: string
  readonly reason: RankReason
  /** Measured or estimated, as `reason` says. */
  readonly roundTripMs?: number | undefined
  /** Clients that were measured. */
  readonly clients?: number | undefined
  /** From the middle of the country, or what is typical in the country itself. */
  readonly distanceKm?: number | undefined
}

/** A region that no client should choose now. */
export interface UnavailableRegion {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly reason: Exclude<RegionCondition, 'active'>
}

export interface RegionRanking {
  readonly regions: readonly RankedRegion[]
  readonly unavailable: readonly UnavailableRegion[]
}

/** @param country two letters; undefined: not known */
export function rankRegions(
  country: string | undefined,
  regions: readonly RegionNumbers[],
  model: PathModel,
): RegionRanking {
  const ranked = regions
    .filter(({ state }) => state === RegionState.active)
    .map((region) => ({ region, known: estimate(country, region, model) }))
    .toSorted((a, b) => msOf(a.known) - msOf(b.known) || a.region.id - b.region.id)
  const unavailable = regions.flatMap((region) =>
    region.state === RegionState.active ? [] : [Object.assign(nameOf(region), { reason: region.state })],
  )
  return {
    regions: ranked.map(({ region, known }, at) => Object.assign({ rank: at + 1 }, nameOf(region), known)),
    unavailable,
  }
}

type Estimate = Pick<RankedRegion, 'reason' | 'roundTripMs' | 'clients' | 'distanceKm'>

function estimate(country: string | undefined, region: RegionNumbers, model: PathModel): Estimate {
  if (country === undefined || !isCountry(country)) return { reason: 'unknown' }
  const [from, to] = [placeOf(country), placeIn(region)]
  const km = from && to && Math.round(typicalKm(from, to))
  const measured = region.countries.find((one) => one.country === country)
  if (measured?.medianMs !== undefined && measured.clients >= MEASURED_CLIENTS_MIN) {
    const { clients, medianMs } = measured
    return { reason: 'measured', roundTripMs: medianMs, clients, distanceKm: km }
  }
  if (km === undefined) return { reason: 'unknown' }
  return { reason: 'distance', roundTripMs: Math.round(pathMs(model, km) * 10) / 10, distanceKm: km }
}

function msOf({ roundTripMs = Infinity }: Estimate): number {
  // Two that are not known are equal.
  return Math.min(roundTripMs, Number.MAX_VALUE)
}

function nameOf({ id, code, name }: RegionNumbers): Pick<RegionNumbers, 'id' | 'code' | 'name'> {
  return { id, code, name }
}
