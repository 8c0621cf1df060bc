// Where the clients of one relay are, as it tells its siblings: for each country how many they are and the median of their
// round trips, of all and of those whose home the relay is. No addresses and no keys. Written and read as part of a relay's
// state (`relay-state.ts`), under its contract: what is read is within the bounds below.

import type { FieldReader, NumberBounds } from './field-reader.ts'

/** Clients whose country is not known: of a private address, or without a table of countries. */
export const UNKNOWN_COUNTRY = 'unknown'
/** The sum of the countries that there is no room for. */
export const OTHER_COUNTRIES = 'other'

/**
 * Countries that a message has room for, beside the two above: 80 bytes each, so at most 5 KB of 32. The clients of one
 * relay are mostly of its own and the neighbouring countries; those beyond are counted together.
 */
export const COUNTRIES_TOLD_MAX = 64

const LABELS_MAX = COUNTRIES_TOLD_MAX + 2
const LABEL = { charsMax: 7 }
const COUNT: NumberBounds = { min: 0, max: 2 ** 40, isInteger: true }
const MILLISECONDS: NumberBounds = { min: 0, max: 60_000 }

export interface CountryClients {
  /** Two letters (ISO 3166), or one of the labels above. */
  readonly country: string
  /** Clients that are connected, whatever their home is. */
  readonly clients: number
  /** Undefined for `other`: medians cannot be added. */
  readonly medianMs?: number | undefined
  /** Those whose home is this relay's region. */
  readonly homeClients: number
  /** Undefined without any of them, and for `other`. */
  readonly homeMedianMs?: number | undefined
}

export interface ClientCountries {
  /** Whether countries are looked up, and the table is loaded: before the first client from elsewhere it is not. */
  readonly isKnown: boolean
  /** Those with the most clients first. */
  readonly countries: readonly CountryClients[]
}

export function isCountry(label: string): boolean {
  return /^[A-Z]{2}$/.test(label)
}

/** The largest countries, and one entry for the sum of the others. */
export function largestCountries(all: readonly CountryClients[]): readonly CountryClients[] {
  const sorted = all
    .filter(({ country }) => country !== OTHER_COUNTRIES)
    .toSorted((a, b) => b.clients - a.clients)
  const told = sorted.slice(0, COUNTRIES_TOLD_MAX)
  const rest = [
    ...sorted.slice(COUNTRIES_TOLD_MAX),
    ...all.filter(({ country }) => country === OTHER_COUNTRIES),
  ]
  if (rest.length === 0) return told
  const sum = (of: (one: CountryClients) => number): number => rest.reduce((total, one) => total + of(one), 0)
  const other = {
    country: OTHER_COUNTRIES,
    clients: sum(({ clients }) => clients),
    homeClients: sum(({ homeClients }) => homeClients),
  }
  return [...told, other]
}

/** Undefined for a relay that does not say. */
export function readClientCountries(fields: FieldReader | undefined): ClientCountries | undefined {
  const isKnown = fields?.flag('isKnown')
  if (fields === undefined || isKnown === undefined) return undefined
  return { isKnown, countries: readCountries(fields, LABELS_MAX) }
}

/** The field `countries`. One entry each: a relay that repeats one would count its clients twice. */
export function readCountries(fields: FieldReader, countMax: number): readonly CountryClients[] {
  const countries = fields.objects('countries', countMax, readCountry)
  return [...new Map(countries.map((one) => [one.country, one])).values()]
}

function readCountry(fields: FieldReader): CountryClients | undefined {
  const country = fields.text('country', LABEL)
  const clients = fields.number('clients', COUNT)
  if (country === undefined || clients === undefined) return undefined
  if (!isCountry(country) && country !== UNKNOWN_COUNTRY && country !== OTHER_COUNTRIES) return undefined
  return {
    country,
    clients,
    medianMs: fields.number('medianMs', MILLISECONDS),
    homeClients: Math.min(clients, fields.number('homeClients', COUNT) ?? 0),
    homeMedianMs: fields.number('homeMedianMs', MILLISECONDS),
  }
}
