// What a relay knows of the paths to its clients: round trips by home region and by country, and where STUN requests come
// from. Metrics have no series for both labels together; the clients that are at home here are told apart in the state alone. Addresses are looked up and forgotten; numbers by label are all that is kept. Runs on the control
// thread.

import type { MetricFamily } from './metric-family.ts'
import { sample } from './metric-family.ts'
import { OTHER, RoundTripTable, type LabelledRoundTrips } from './round-trip-table.ts'

/** No country is known: of this address, or of any, because countries are not looked up. */
const UNKNOWN_COUNTRY = 'unknown'

/** ISO 3166 has 249, and `unknown` is one more. */
const COUNTRIES_MAX = 250
/** As many regions as a fleet of a hundred relays can have. Clients measure all of them, so fleets have fewer. */
const REGIONS_MAX = 100

/** Round trips that were read, and where they belong. */
export interface LocatedRoundTrip {
  readonly seconds: number
  /** The region that is the client's home; undefined: not known. */
  readonly homeRegion: string | undefined
  /** Its home is this relay, or another of this region. */
  readonly isHome: boolean
  /** Undefined: not known. */
  readonly country: string | undefined
}

export interface ClientNumbers {
  readonly byHomeRegion: readonly LabelledRoundTrips[]
  readonly byCountry: readonly LabelledRoundTrips[]
  /** Of the clients whose home is here. */
  readonly homeByCountry: readonly LabelledRoundTrips[]
  /** STUN requests since the start, by country. */
  readonly stunRequests: Readonly<Record<string, number>>
}

export class ClientQuality {
  readonly #byRegion = new RoundTripTable(REGIONS_MAX)
  readonly #byCountry = new RoundTripTable(COUNTRIES_MAX)
  readonly #homeByCountry = new RoundTripTable(COUNTRIES_MAX)
  readonly #stun = new Map([[UNKNOWN_COUNTRY, 0]])

  roundTrip({ seconds, homeRegion, isHome, country = UNKNOWN_COUNTRY }: LocatedRoundTrip): void {
    this.#byRegion.observe(homeRegion ?? OTHER, seconds)
    this.#byCountry.observe(country, seconds)
    if (isHome) this.#homeByCountry.observe(country, seconds)
  }

  /** @param requests how many requests this one stands for */
  stunRequest(country: string | undefined, requests: number): void {
    const known = country ?? UNKNOWN_COUNTRY
    const label = this.#stun.has(known) || this.#stun.size < COUNTRIES_MAX ? known : OTHER
    this.#stun.set(label, (this.#stun.get(label) ?? 0) + requests)
  }

  /** A minute is over. */
  endMinute(): void {
    this.#byRegion.endMinute()
    this.#byCountry.endMinute()
    this.#homeByCountry.endMinute()
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'derp_client_round_trip_by_region_seconds',
        type: 'histogram',
        help: 'Smallest TCP round trips of clients by the region that is their home; other if it is not known.',
        samples: this.#byRegion.samples('home_region'),
      },
      {
        name: 'derp_client_round_trip_by_country_seconds',
        type: 'histogram',
        help: 'Smallest TCP round trips of clients by the country of their address.',
        samples: this.#byCountry.samples('country'),
      },
      {
        name: 'stun_requests_by_country_total',
        type: 'counter',
        help: 'Answered STUN requests by the country of their address, from a sample of them.',
        samples: [...this.#stun].map(([country, count]) => sample(Math.round(count), { country })),
      },
    ]
  }

  numbers(): ClientNumbers {
    const rounded = [...this.#stun].map(([country, count]) => [country, Math.round(count)])
    return {
      byHomeRegion: this.#byRegion.numbers(),
      byCountry: this.#byCountry.numbers(),
      homeByCountry: this.#homeByCountry.numbers(),
      stunRequests: Object.fromEntries(rounded),
    }
  }
}
