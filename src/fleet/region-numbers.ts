// The regions of the fleet's file with what their relays tell of themselves: state, clients, round trips by country, load. A
// function of the file and of the fleet's state. Counts and medians only; nobody can be found in them.

import { OTHER_COUNTRIES, type CountryClients } from './client-countries.ts'
import type { RelayView } from './fleet-state.ts'
import { NodeState, type StateOf } from './node-state.ts'
import { RegionState, type Region } from './region.ts'
import type { RelayState } from './relay-state.ts'

/** `down`: none of its relays serves. The others are as in the file, or as its relays say. */
export type RegionCondition = RegionState | 'down'

export interface RegionNumbers {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
  readonly state: RegionCondition
  /** Relays that belong to the region, and those of them that tell their state. A standby belongs to its first region. */
  readonly relays: number
  readonly relaysHeard: number
  readonly clients: number
  readonly homeClients: number
  readonly bytesPerSecond: number
  readonly peakBytesPerSecond: number
  /** The smallest of its relays; undefined: none knows. */
  readonly headroomRatio?: number | undefined
  /** Whether a relay of the region knows the countries of its clients. */
  readonly hasCountries: boolean
  /** Of all its relays: medians are the means of theirs, by the number of clients. */
  readonly countries: readonly CountryClients[]
}

/** What of the fleet's state this needs. */
export interface RelayStates {
  readonly relays: readonly RelayView[]
  stateOf(nodeName: string): NodeState
}

/** In the order of the file. */
export function regionNumbers(regions: readonly Region[], fleet: RelayStates): readonly RegionNumbers[] {
  const owners = new Map(
    regions.flatMap(({ id, nodes }) =>
      nodes.filter(({ isStandby }) => isStandby !== true).map(({ name }) => [name, id] as const),
    ),
  )
  const relays = Map.groupBy(
    fleet.relays.filter(({ isListed }) => isListed),
    ({ nodes }) => nodes.map((node) => owners.get(node)).find((id) => id !== undefined),
  )
  return regions.map((region) => ({
    id: region.id,
    code: region.code,
    name: region.name,
    latitude: region.latitude,
    longitude: region.longitude,
    state: conditionOf(region, (name) => fleet.stateOf(name)),
    ...numbersOf(relays.get(region.id) ?? []),
  }))
}

function conditionOf({ state = RegionState.active, nodes }: Region, stateOf: StateOf): RegionCondition {
  if (state === RegionState.off) return state
  const alive = nodes.filter(({ name }) => stateOf(name) !== NodeState.down)
  if (alive.length === 0) return 'down'
  // As in the map: a standby does not keep clients in a region that empties.
  const regular = alive.filter(({ isStandby }) => isStandby !== true)
  const isEmptying = (regular.length > 0 ? regular : alive).every(
    ({ name }) => stateOf(name) === NodeState.draining,
  )
  return isEmptying ? RegionState.draining : state
}

function numbersOf(relays: readonly RelayView[]): Omit<RegionNumbers, 'id' | 'code' | 'name' | 'state'> {
  // What a relay that is down has told last is over.
  const states = relays.flatMap(({ last, state }) =>
    last === undefined || state === NodeState.down ? [] : [last],
  )
  const sum = (of: (state: RelayState) => number | undefined): number =>
    states.reduce((total, state) => total + (of(state) ?? 0), 0)
  const headrooms = states.flatMap(({ capacity }) => capacity.headroomRatio ?? [])
  return {
    relays: relays.length,
    relaysHeard: states.length,
    clients: sum(({ load }) => load.clients),
    homeClients: sum(({ load }) => load.homeClients),
    bytesPerSecond: sum(({ load }) => load.bytesOutPerSecond),
    peakBytesPerSecond: sum(({ load }) => load.peakBytesPerSecond),
    headroomRatio: headrooms.length === 0 ? undefined : Math.min(...headrooms),
    hasCountries: states.some(({ clients }) => clients?.isKnown === true),
    countries: sumOfCountries(states.flatMap(({ clients }) => clients?.countries ?? [])),
  }
}

function sumOfCountries(told: readonly CountryClients[]): readonly CountryClients[] {
  const sums = [...Map.groupBy(told, ({ country }) => country)].map(([country, parts]) => ({
    country,
    clients: parts.reduce((total, { clients }) => total + clients, 0),
    medianMs: meanOf(parts.map(({ clients, medianMs }) => [clients, medianMs])),
    homeClients: parts.reduce((total, { homeClients }) => total + homeClients, 0),
    homeMedianMs: meanOf(parts.map(({ homeClients, homeMedianMs }) => [homeClients, homeMedianMs])),
  }))
  const rank = ({ country }: CountryClients): number => Number(country === OTHER_COUNTRIES)
  return sums.toSorted((a, b) => rank(a) - rank(b) || b.clients - a.clients)
}

/** The mean of those values that there are, by weight. */
function meanOf(
  parts: readonly (readonly [weight: number, value: number | undefined])[],
): number | undefined {
  let [weights, total] = [0, 0]
  for (const [weight, value] of parts) {
    if (value === undefined) continue
    weights += weight
    total += weight * value
  }
  return weights === 0 ? undefined : Math.round((total / weights) * 10) / 10
}
