// What a relay measures of itself, its links and its clients, put together once a second: clients' round trips with the regions
// and countries that only the control thread knows, throughput and headroom. Gives them as metrics and as one value. Runs on
// the control thread.

import type { Settings } from '#config/settings.ts'
import { largestCountries, type ClientCountries } from '#fleet/client-countries.ts'
import type { RelayCapacity, RelayLoad } from '#fleet/relay-state.ts'
import { ClientQuality } from '#ops/client-quality.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import type { Log } from '#ops/log.ts'
import type { MetricFamily } from '#ops/metric-family.ts'
import { headroomOf, qualityFamilies, type RelayQuality } from '#ops/relay-quality.ts'
import { ThreadHeadroom } from '#ops/thread-headroom.ts'
import { LOOK_MS, TrafficMeter } from '#ops/traffic-meter.ts'
import { IP_BYTES } from '#protocol/ip-address.ts'
import { HOME_HERE, type ClientHome, type RoundTrips } from '#worker/round-trip-batch.ts'
import type { StunRequests } from '#worker/stun-sample.ts'
import { CountryLookup } from './country-lookup.ts'
import type { MeshService } from './mesh-service.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

const LOOKS_PER_MINUTE = 60_000 / LOOK_MS
const BITS_PER_BYTE = 8
/** The home region of clients of a relay that is in no region. */
const NO_REGION = 'own'

export interface QualityParts {
  readonly settings: Pick<Settings, 'measure' | 'mesh'>
  readonly log: Log
  readonly threads: Pick<RelayThreads, 'counters' | 'readLoopTimes'>
  readonly links: Pick<LinkWatch, 'siblings'>
  /** Undefined without a mesh. */
  readonly mesh: Pick<MeshService, 'name' | 'position' | 'regionOf'> | undefined
}

export class QualityService implements Service {
  readonly traffic: TrafficMeter
  readonly #parts: QualityParts
  readonly #clients = new ClientQuality()
  readonly #countries: CountryLookup
  readonly #headroom = new ThreadHeadroom()
  #timer: NodeJS.Timeout | undefined = undefined
  #looks = 0

  constructor(parts: QualityParts) {
    this.#parts = parts
    this.traffic = new TrafficMeter(parts.threads)
    this.#countries = new CountryLookup(parts.settings.measure.countries, parts.log)
  }

  start(): void {
    this.traffic.look(performance.now())
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** From a relay thread. The first ones wait for the table of countries. */
  async roundTripsRead({ ips, seconds, homes }: RoundTrips): Promise<void> {
    await this.#countries.loadFor(ips)
    for (const [at, value] of seconds.entries()) {
      this.#clients.roundTrip({
        seconds: value,
        homeRegion: this.#regionOf(homes[at]),
        isHome: homes[at] === HOME_HERE,
        country: this.#countries.countryOf(ips.subarray(at * IP_BYTES, (at + 1) * IP_BYTES)),
      })
    }
  }

  /** From the STUN thread. */
  async stunRequests({ requests, ips }: StunRequests): Promise<void> {
    await this.#countries.loadFor(ips)
    const each = (requests * IP_BYTES) / ips.length
    for (let at = 0; at < ips.length; at += IP_BYTES) {
      this.#clients.stunRequest(this.#countries.countryOf(ips.subarray(at, at + IP_BYTES)), each)
    }
  }

  read(): RelayQuality {
    const { links, settings } = this.#parts
    return {
      siblings: links.siblings(),
      clients: this.#clients.numbers(),
      hasCountries: this.#countries.isReady,
      throughput: this.traffic.throughput(),
      threads: this.#headroom.read(),
      capacityBits: settings.measure.capacityBits,
    }
  }

  /** What this relay could carry, for the fleet's state. */
  get capacity(): RelayCapacity {
    const { capacityBits } = this.#parts.settings.measure
    return {
      bytesPerSecond: capacityBits === undefined ? undefined : capacityBits / BITS_PER_BYTE,
      headroomRatio: headroomOf(this.read()).least,
    }
  }

  /** What this relay carries, for the fleet's state. */
  get load(): RelayLoad {
    return this.traffic.clientLoad()
  }

  /** Where the clients of this relay are, for the fleet's state. */
  get clientCountries(): ClientCountries {
    const { byCountry, homeByCountry } = this.#clients.numbers()
    const homes = new Map(homeByCountry.map((one) => [one.label, one]))
    const countries = byCountry.map(({ label, clients, medianMs }) => {
      const home = homes.get(label)
      return {
        country: label,
        clients,
        medianMs: tenths(medianMs),
        homeClients: home?.clients ?? 0,
        homeMedianMs: home && tenths(home.medianMs),
      }
    })
    return { isKnown: this.#countries.isReady, countries: largestCountries(countries) }
  }

  /** Of an address in sixteen bytes; undefined: not known. Loads the table if it is wanted. */
  async countryOf(ip: Uint8Array): Promise<string | undefined> {
    await this.#countries.loadFor(ip)
    return this.#countries.countryOf(ip)
  }

  families(): MetricFamily[] {
    return [...qualityFamilies(this.read()), ...this.#clients.families()]
  }

  #look(): void {
    const { threads } = this.#parts
    this.traffic.look(performance.now())
    this.#headroom.look(threads.counters, threads.readLoopTimes())
    if (++this.#looks % LOOKS_PER_MINUTE === 0) this.#clients.endMinute()
  }

  /** Undefined: not known. */
  #regionOf(home: ClientHome): string | undefined {
    const { mesh, settings } = this.#parts
    if (home === undefined) return undefined
    if (home !== HOME_HERE) return mesh?.regionOf(home)?.toString()
    const own = mesh?.name === undefined ? undefined : mesh.regionOf(mesh.name)
    return (own ?? mesh?.position.regions[0] ?? settings.mesh.region)?.toString() ?? NO_REGION
  }
}

/** A median is exact to two percent. */
function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
}
