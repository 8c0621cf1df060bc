// The numbers of the fleet's regions as a relay reports them on `/fleet/regions`, read from outside: bounded, fields that are
// not known passed over. Several relays' reports of one fleet become one. No I/O.

import { readCountries } from './client-countries.ts'
import { FieldReader } from './field-reader.ts'
import type { RegionCondition, RegionNumbers } from './region-numbers.ts'
import { REGION_ID_MAX, RegionState } from './region.ts'

/** A thousand regions with the most countries that each may tell. */
export const REPORT_BYTES_MAX = 16_777_216
const REGIONS_MAX = 1_000
/** ISO 3166 has 249, and two are of those that are not known or not told. */
const COUNTRIES_MAX = 252
const TEXT = { charsMax: 100 }
const COUNT = { min: 0, max: 2 ** 40, isInteger: true }
const RATE = { min: 0, max: 2 ** 50 }
const RATIO = { min: 0, max: 1 }

/** A text says why it is no report. */
export function readRegionReport(text: string): readonly RegionNumbers[] | string {
  const fields = FieldReader.of(text)
  if (fields === undefined) return 'is no JSON object'
  const regions = fields.objects('regions', REGIONS_MAX, readRegion)
  return regions.length === 0 ? 'has no regions' : regions
}

function readRegion(fields: FieldReader): RegionNumbers | undefined {
  const id = fields.number('id', { min: 1, max: REGION_ID_MAX, isInteger: true })
  const states: readonly RegionCondition[] = [...Object.values(RegionState), 'down']
  const text = fields.text('state', TEXT)
  const state = states.find((one) => one === text)
  if (id === undefined || state === undefined) return undefined
  const code = fields.text('code', TEXT) ?? String(id)
  const count = (name: string): number => fields.number(name, COUNT) ?? 0
  return {
    id,
    code,
    name: fields.text('name', TEXT) ?? code,
    latitude: fields.number('latitude', { min: -90, max: 90 }),
    longitude: fields.number('longitude', { min: -180, max: 180 }),
    state,
    relays: count('relays'),
    relaysHeard: count('relaysHeard'),
    clients: count('clients'),
    homeClients: count('homeClients'),
    bytesPerSecond: fields.number('bytesPerSecond', RATE) ?? 0,
    peakBytesPerSecond: fields.number('peakBytesPerSecond', RATE) ?? 0,
    headroomRatio: fields.number('headroomRatio', RATIO),
    hasCountries: fields.flag('hasCountries') ?? false,
    countries: readCountries(fields, COUNTRIES_MAX),
  }
}

/** Of each region the report of the relay that hears most of its relays. */
export function mergedReports(reports: readonly (readonly RegionNumbers[])[]): readonly RegionNumbers[] {
  const best = new Map<number, RegionNumbers>()
  for (const region of reports.flat()) {
    const known = best.get(region.id)
    if (known === undefined || known.relaysHeard < region.relaysHeard) best.set(region.id, region)
  }
  return [...best.values()].toSorted((a, b) => a.id - b.id)
}
