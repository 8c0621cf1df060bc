// A simulated population: clients one by one, each with a place and a connection of its own, at home where Tailscale's rule
// puts it; what the relays of a fleet would tell of it, and by how much a further region would really help. Knows nothing of the
// model that it judges: paths have detours of their own, and connections differ.

import { CLOUD_PLACES, type CloudPlace } from '#fleet/cloud-places.ts'
import { placeOf } from '#fleet/country-places.ts'
import { distanceKm, type Place } from '#fleet/distance.ts'
import type { RegionNumbers } from '#fleet/region-numbers.ts'

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Client {
  readonly country: string
  readonly place: Place
  /** Of its own connection, to any relay. */
  readonly lastMileMs: number
  /** Its provider's detours. */
  readonly msPerKm: number
}

/** @param sizes clients by country */
export function populationOf(sizes: ReadonlyMap<string, number>, seed: number): readonly Client[] {
  const random = randomOf(seed)
  return [...sizes].flatMap(([country, count]) => {
    const home = placeOf(country)
    if (home === undefined) throw new Error(`${country} has no place`)
    return Array.from({ length: count }, () => {
      // Half of them within the spread, all within twice of it.
      const km = home.spreadKm * 2 * random()
      const angle = 2 * Math.PI * random()
      const latitude = Math.min(89, Math.max(-89, home.latitude + (km * Math.cos(angle)) / 111))
      const longitude =
        home.longitude + (km * Math.sin(angle)) / (111 * Math.cos((home.latitude * Math.PI) / 180))
      return {
        country,
        place: { latitude, longitude },
        lastMileMs: 3 + 15 * random() ** 2,
        msPerKm: 0.013 + 0.006 * random(),
      }
    })
  })
}

export function roundTripMs({ place, lastMileMs, msPerKm }: Client, to: Place): number {
  return lastMileMs + msPerKm * distanceKm(place, to)
}

/** What the relays of the regions would tell when each client is at home in the nearest. */
export function toldOf(clients: readonly Client[], places: readonly CloudPlace[]): readonly RegionNumbers[] {
  const homes = clients.map((client) => ({ client, home: nearest(client, places) }))
  return places.map((place, at) => {
    const here = homes.filter(({ home }) => home === place).map(({ client }) => client)
    const byCountry = Map.groupBy(here, ({ country }) => country)
    const countries = [...byCountry].map(([country, group]) => {
      const ms = median(group.map((client) => roundTripMs(client, place)))
      return { country, clients: group.length, medianMs: ms, homeClients: group.length, homeMedianMs: ms }
    })
    return {
      id: 900 + at,
      code: place.name,
      name: place.name,
      latitude: place.latitude,
      longitude: place.longitude,
      state: 'active' as const,
      relays: 1,
      relaysHeard: 1,
      clients: here.length,
      homeClients: here.length,
      bytesPerSecond: 0,
      peakBytesPerSecond: 0,
      hasCountries: true,
      countries,
    }
  })
}

export interface TrueGain {
  readonly clients: number
  /** Of all who move, in client-milliseconds. */
  readonly gainMs: number
  readonly nowMs: number
  readonly thenMs: number
}

/**
 * Each client moves to the new region, or does not, by its own latencies.
 *
 * @param slower counts only those that would move as well if the way were so much longer: 1.2 is a fifth
 */
export function trueGain(
  clients: readonly Client[],
  places: readonly CloudPlace[],
  next: Place,
  slower = 1,
): TrueGain {
  const moved = clients
    .map((client) => ({
      nowMs: roundTripMs(client, nearest(client, places)),
      thenMs: roundTripMs(client, next),
    }))
    .filter(({ nowMs, thenMs }) => nowMs - slower * thenMs >= 10 && slower * thenMs <= (2 * nowMs) / 3)
  return {
    clients: moved.length,
    gainMs: moved.reduce((sum, { nowMs, thenMs }) => sum + nowMs - thenMs, 0),
    nowMs: median(moved.map(({ nowMs }) => nowMs)),
    thenMs: median(moved.map(({ thenMs }) => thenMs)),
  }
}

export function bestPlace(clients: readonly Client[], places: readonly CloudPlace[]): CloudPlace {
  const gains = CLOUD_PLACES.map((place) => ({ place, gain: trueGain(clients, places, place).gainMs }))
  return gains.reduce((best, one) => (one.gain > best.gain ? one : best)).place
}

export function cloudPlace(name: string): CloudPlace {
  const found = CLOUD_PLACES.find((place) => place.name === name)
  if (found === undefined) throw new Error(`no place ${name}`)
  return found
}

function nearest(client: Client, places: readonly CloudPlace[]): CloudPlace {
  return places.reduce((best, one) => (roundTripMs(client, one) < roundTripMs(client, best) ? one : best))
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
