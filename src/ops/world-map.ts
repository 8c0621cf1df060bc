// The fleet's regions on a map of the world, as an SVG in an equirectangular projection: a disc for each region, as large as
// its share of the clients, and a curve for each pair of regions with the round trip between them. The same facts stand in
// the page's tables, so to a screen reader the map is one picture with a description. No I/O.

import { markup, type Markup } from './markup.ts'
import type { Overview, OverviewRegion } from './overview.ts'
import { milliseconds } from './quantity.ts'
import { COLUMNS, DEGREES_PER_DOT, LAND_PATH, NORTH, ROWS } from './world-outline.ts'

/** More would cover the map. */
const REGIONS_MAX = 64
/** Curves between more regions than this are a tangle. */
const CURVED_REGIONS_MAX = 8
const RADIUS_MIN = 1.3
const RADIUS_MAX = 3.2
/** A curve rises by this share of its length. */
const RISE = 0.15
/** A label above this is cut off. */
const LABEL_TOP = 4
/** There is no room for a label on a shorter curve. */
const LABELLED_MIN = 14

interface Place {
  readonly region: OverviewRegion
  readonly x: number
  readonly y: number
}

export function worldMap(overview: Overview): Markup | undefined {
  const places = overview.regions.slice(0, REGIONS_MAX).flatMap(placeOf)
  if (places.length === 0) return undefined
  const all = Math.max(1, ...places.map(({ region }) => region.clients))
  const curves = places.length > CURVED_REGIONS_MAX ? [] : curvesOf(overview, places)
  const about = places.map(({ region }) => `${region.name}: ${stateWord(region)}`).join('; ')
  return markup`<svg class="world" viewBox="0 0 ${COLUMNS} ${ROWS}" role="img" aria-label="Map of the regions. ${about}">
<path class="land" d="${LAND_PATH}" transform="translate(.5 .5)"/>${curves}${places.map((place) => disc(place, all))}</svg>`
}

/** What a region is, in a word. */
export function stateWord({ state, relays, up }: OverviewRegion): string {
  if (state !== 'active') return state
  if (up === 0) return 'down'
  return up < relays ? `${up} of ${relays} up` : 'up'
}

/** The class of a region's colour. */
export function regionClass({ state, relays, up }: OverviewRegion): string {
  if (state === 'off') return 'off'
  if (up === 0) return 'bad'
  return state === 'draining' || up < relays ? 'warn' : 'ok'
}

function placeOf(region: OverviewRegion): readonly Place[] {
  const { latitude, longitude } = region
  if (latitude === undefined || longitude === undefined) return []
  const x = (longitude + 180) / DEGREES_PER_DOT
  const y = Math.min(ROWS - 1, Math.max(1, (NORTH - latitude) / DEGREES_PER_DOT))
  return [{ region, x, y }]
}

function disc({ region, x, y }: Place, all: number): Markup {
  const radius = RADIUS_MIN + (RADIUS_MAX - RADIUS_MIN) * Math.sqrt(region.clients / all)
  const isLeft = x > COLUMNS - 20
  const name = region.code === '' ? `${region.id}` : region.code
  return markup`<g class="${regionClass(region)}"><title>${region.name}: ${stateWord(region)}, ${region.clients} clients</title><circle class="halo" cx="${short(x)}" cy="${short(y)}" r="${short(radius * 1.9)}"/><circle cx="${short(x)}" cy="${short(y)}" r="${short(radius)}"/><text x="${short(x + (isLeft ? -1 : 1) * (radius + 1.2))}" y="${short(y + 1.2)}"${isLeft ? markup` text-anchor="end"` : ''}>${name}</text></g>`
}

/** The smallest round trip between any relays of two regions. */
function curvesOf({ relays, links }: Overview, places: readonly Place[]): readonly Markup[] {
  const regionOf = new Map(relays.map(({ name, region }) => [name, region]))
  return places.flatMap((from, at) =>
    places.slice(at + 1).flatMap((to) => {
      const others = places.filter((place) => place !== from && place !== to)
      const ends = [from.region.id, to.region.id]
      const trips = links.flatMap((link) => {
        const pair = new Set([regionOf.get(link.from), regionOf.get(link.to)])
        const isThis = ends.every((id) => pair.has(id))
        return isThis && link.isUp && link.rttMs !== undefined ? [link.rttMs] : []
      })
      return trips.length === 0 ? [] : [curve([from, to], Math.min(...trips), others)]
    }),
  )
}

/** Bends away from the other places. */
function curve([from, to]: readonly [Place, Place], rttMs: number, others: readonly Place[]): Markup {
  const length = Math.hypot(to.x - from.x, to.y - from.y)
  const [x, middle] = [(from.x + to.x) / 2, (from.y + to.y) / 2]
  const room = (top: number): number =>
    Math.min(...others.map((place) => Math.hypot(place.x - x, place.y - top)))
  const rise = length * RISE
  const isUp = middle - rise > LABEL_TOP && room(middle - rise) >= room(middle + rise) - 1
  const labelY = isUp ? middle - rise : middle + rise
  const y = isUp ? middle - 2 * rise : middle + 2 * rise
  return markup`<path class="arc" d="M${short(from.x)} ${short(from.y)}Q${short(x)} ${short(y)} ${short(to.x)} ${short(to.y)}"/>${
    length < LABELLED_MIN
      ? ''
      : markup`<text class="trip" x="${short(x)}" y="${short(labelY + (isUp ? -0.8 : 3))}" text-anchor="middle">${milliseconds(rttMs)} ms</text>`
  }`
}

function short(value: number): number {
  return Math.round(value * 10) / 10
}
