// Where the fleet's next region would help most, and which region nobody would miss: from counts and round trips of clients by
// country, and places to choose from. It judges a place by the rule by which clients move home, so it never promises a move that
// no client would make. Counts by country only. A function of its input; docs/regions.md states the model.
//
// Contract: it names no place that does not help.

import { isCountry } from './client-countries.ts'
import type { CloudPlace } from './cloud-places.ts'
import { placeOf } from './country-places.ts'
import { distanceKm, placeIn } from './distance.ts'
import { MEASURED_CLIENTS_MIN, pathMs, typicalKm, type PathModel } from './path-model.ts'
import type { RegionNumbers } from './region-numbers.ts'
import { RegionState } from './region.ts'

/** Clients move home if it gains so much, and to at most this share of the latency: Tailscale's rule. */
const GAIN_MS_MIN = 10
const RATIO_MAX = 2 / 3
/** A region for fewer is not worth a machine, and so few may be one household. */
const MOVED_CLIENTS_MIN = 10
/** Of all clients with a known place: less is within what a week changes. */
const MOVED_SHARE_MIN = 0.02
/** A region nearer than that to a place is in the same city. */
const SAME_PLACE_KM = 50
/** Beyond, the first ones have changed what is measured. */
const PLACES_MAX = 3
/** A region with a smaller share of the clients is idle. */
const IDLE_SHARE_MAX = 0.01
/** Of a fleet with fewer clients, nothing is said of idle regions: it has just started. */
const CLIENTS_MIN = 10

/** Pairs of a country and a region; each is compared with each candidate. Thirty regions with 66 countries each have fewer. */
const PAIRS_MAX = 2_000

/** Clients of one country that are at home in one region. */
export interface Group {
  readonly country: string
  readonly region: number
  readonly clients: number
  readonly nowMs: number
  readonly thenMs: number
}

/** A place for a region, and who would move there. */
export interface PlaceAdvice {
  readonly place: CloudPlace
  readonly clients: number
  /** Medians over the clients that would move. */
  readonly nowMs: number
  readonly thenMs: number
  /** Largest gain first. */
  readonly groups: readonly Group[]
}

export interface IdleRegion {
  readonly region: RegionNumbers
  readonly clients: number
  /** Medians over its clients; undefined without any whose place is known. */
  readonly nowMs: number | undefined
  readonly thenMs: number | undefined
}

export interface Advice {
  /** Clients at home in a region that is active, measured or not. */
  readonly clients: number
  /** Those that were measured in the last minute, and whose country and region have a known place. */
  readonly located: number
  /** The best first; each further one is for clients that none before it would move. Empty: no place helps. */
  readonly places: readonly PlaceAdvice[]
  readonly idle: readonly IdleRegion[]
}

/** A group before any advice. */
interface Home extends Omit<Group, 'thenMs'> {
  /** What its way takes longer than the model says; a nearer region is taken not to change that. */
  readonly excessMs: number
}

export function advise(
  regions: readonly RegionNumbers[],
  candidates: readonly CloudPlace[],
  model: PathModel,
): Advice {
  const active = withinBounds(regions.filter(({ state }) => state === RegionState.active))
  const homes = active.flatMap((region) => homesOf(region, model))
  const located = homes.reduce((sum, { clients }) => sum + clients, 0)
  const clients = active.reduce((sum, region) => sum + homeClientsOf(region), 0)
  const free = candidates.filter((place) => active.every((region) => !isAt(region, place)))
  return {
    clients,
    located,
    places: placesFor(homes, free, model),
    idle: idleRegions(active, clients, model),
  }
}

/** A fleet with more pairs than are compared is judged by its largest ones. */
function withinBounds(regions: readonly RegionNumbers[]): readonly RegionNumbers[] {
  const pairs = regions.flatMap(({ countries }) => countries)
  if (pairs.length <= PAIRS_MAX) return regions
  const kept = new Set(pairs.toSorted((a, b) => b.clients - a.clients).slice(0, PAIRS_MAX))
  return regions.map((region) => ({
    ...region,
    countries: region.countries.filter((pair) => kept.has(pair)),
  }))
}

/** One place after the other, each for those whom the ones before would not move. */
function placesFor(
  homes: readonly Home[],
  candidates: readonly CloudPlace[],
  model: PathModel,
): readonly PlaceAdvice[] {
  const located = homes.reduce((sum, { clients }) => sum + clients, 0)
  const clientsMin = Math.max(MOVED_CLIENTS_MIN, MOVED_SHARE_MIN * located)
  const chosen: PlaceAdvice[] = []
  let left = homes
  while (chosen.length < PLACES_MAX) {
    const best = bestOf(
      candidates.map((place) => adviceFor(place, left, model)).filter(({ clients }) => clients >= clientsMin),
    )
    if (best === undefined) break
    chosen.push(best)
    const moved = new Set(best.groups.map(groupKey))
    left = left.filter((home) => !moved.has(groupKey(home)))
  }
  return chosen
}

function bestOf(places: readonly PlaceAdvice[]): PlaceAdvice | undefined {
  return places.toSorted((a, b) => gainOf(b) - gainOf(a) || (a.place.name < b.place.name ? -1 : 1))[0]
}

function groupKey({ country, region }: Pick<Group, 'country' | 'region'>): string {
  return `${country} ${region}`
}

/** Groups of which the way is measured and the place is known. */
function homesOf(region: RegionNumbers, model: PathModel): readonly Home[] {
  const to = placeIn(region)
  if (to === undefined) return []
  return region.countries.flatMap(({ country, homeClients: clients, homeMedianMs: nowMs }) => {
    const from = isCountry(country) ? placeOf(country) : undefined
    if (from === undefined || nowMs === undefined || clients === 0) return []
    const excessMs = Math.max(0, nowMs - pathMs(model, typicalKm(from, to)))
    return [{ country, region: region.id, clients, nowMs, excessMs }]
  })
}

/** The relays' own count is of all, the sum over countries of those that were measured; they are of different moments. */
function homeClientsOf({ countries, homeClients }: RegionNumbers): number {
  return Math.max(
    homeClients,
    countries.reduce((sum, one) => sum + one.homeClients, 0),
  )
}

function isAt(region: RegionNumbers, place: CloudPlace): boolean {
  const at = placeIn(region)
  return at !== undefined && distanceKm(at, place) < SAME_PLACE_KM
}

function adviceFor(place: CloudPlace, homes: readonly Home[], model: PathModel): PlaceAdvice {
  const groups = homes
    .map((home) => withThen(home, place, model))
    .filter(({ nowMs, thenMs }) => nowMs - thenMs >= GAIN_MS_MIN && thenMs <= RATIO_MAX * nowMs)
    .toSorted((a, b) => gainOfGroup(b) - gainOfGroup(a))
  return {
    place,
    clients: groups.reduce((sum, { clients }) => sum + clients, 0),
    nowMs: medianOf(groups, ({ nowMs }) => nowMs),
    thenMs: medianOf(groups, ({ thenMs }) => thenMs),
    groups,
  }
}

function withThen({ excessMs, ...home }: Home, place: CloudPlace, model: PathModel): Group {
  const from = placeOf(home.country)
  const km = from === undefined ? Infinity : typicalKm(from, place)
  return { ...home, thenMs: pathMs(model, km) + excessMs }
}

function gainOfGroup({ clients, nowMs, thenMs }: Group): number {
  return clients * (nowMs - thenMs)
}

function gainOf({ groups }: PlaceAdvice): number {
  return groups.reduce((sum, group) => sum + gainOfGroup(group), 0)
}

/** By the number of clients. */
function medianOf<One extends { readonly clients: number }>(
  groups: readonly One[],
  value: (group: One) => number,
): number {
  const half = groups.reduce((sum, { clients }) => sum + clients, 0) / 2
  let below = 0
  for (const group of groups.toSorted((a, b) => value(a) - value(b))) {
    below += group.clients
    if (below >= half) return value(group)
  }
  return 0
}

/** Regions that nearly nobody has as home, and what the others would be for those. */
function idleRegions(
  active: readonly RegionNumbers[],
  clients: number,
  model: PathModel,
): readonly IdleRegion[] {
  if (clients < CLIENTS_MIN || active.length < 2) return []
  const isIdle = (region: RegionNumbers): boolean =>
    // A relay that tells nothing may have any number of clients.
    region.relaysHeard > 0 &&
    region.relaysHeard === region.relays &&
    homeClientsOf(region) < IDLE_SHARE_MAX * clients
  return active.filter(isIdle).map((region) => {
    const others = active.filter((other) => other !== region && !isIdle(other))
    const groups = homesOf(region, model).map((home) => {
      const ways = others.map((other) => wayTo(other, home, model))
      return { clients: home.clients, nowMs: home.nowMs, thenMs: Math.min(...ways) }
    })
    const known = groups.filter(({ thenMs }) => Number.isFinite(thenMs))
    const isKnown = known.length > 0
    return {
      region,
      clients: homeClientsOf(region),
      nowMs: isKnown ? medianOf(known, ({ nowMs }) => nowMs) : undefined,
      thenMs: isKnown ? medianOf(known, ({ thenMs }) => thenMs) : undefined,
    }
  })
}

/** From the country of a group to another region: measured, else by the model. Infinite: not known. */
function wayTo(region: RegionNumbers, { country, excessMs }: Home, model: PathModel): number {
  const measured = region.countries.find((one) => one.country === country)
  if (measured?.medianMs !== undefined && measured.clients >= MEASURED_CLIENTS_MIN) return measured.medianMs
  const [from, to] = [placeOf(country), placeIn(region)]
  if (from === undefined || to === undefined) return Infinity
  return pathMs(model, typicalKm(from, to)) + excessMs
}
