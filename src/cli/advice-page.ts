// How `derpfleet advise` prints its advice: text for people, a JSON document for programs. Numbers and their bounds, no promises.

import type { Advice, Group, IdleRegion, PlaceAdvice } from '#fleet/advice.ts'
import { placeIn } from '#fleet/distance.ts'
import type { PathModel } from '#fleet/path-model.ts'
import type { RegionNumbers } from '#fleet/region-numbers.ts'
import { RegionState } from '#fleet/region.ts'

/** Countries of a place; the rest are summed up. */
const GROUPS_SHOWN = 6

export interface FleetAdvice extends Advice {
  readonly regions: readonly RegionNumbers[]
  readonly model: PathModel
}

export function adviceText(advice: FleetAdvice): string {
  const parts = [fleetLine(advice), ...notes(advice).map((note) => `note: ${note}`)]
  if (!hasCountries(advice)) return lines(parts)
  parts.push(modelLine(advice.model), '', ...placeLines(advice))
  if (advice.idle.length > 0) parts.push('', ...advice.idle.map(idleLine))
  return lines(parts)
}

export function adviceJson(advice: FleetAdvice): string {
  const { clients, located, model, places, idle } = advice
  const document = {
    hasCountries: hasCountries(advice),
    clients,
    located,
    model: { ...model, isFitted: model.pairs > 0 },
    notes: notes(advice),
    places: places.map(placeJson),
    idle: idle.map(idleJson),
  }
  return `${JSON.stringify(document, (_, value: unknown) => value ?? null, 2)}\n`
}

function idleJson({ region: { id, code }, ...rest }: IdleRegion): object {
  return { id, code, ...roundedTimes(rest) }
}

function placeJson({ place, groups, ...rest }: PlaceAdvice): object {
  return { ...place, ...roundedTimes(rest), groups: groups.map((group) => roundedTimes(group)) }
}

function roundedTimes<T extends { readonly nowMs: number | undefined; readonly thenMs: number | undefined }>(
  value: T,
): T {
  return { ...value, nowMs: tenths(value.nowMs), thenMs: tenths(value.thenMs) }
}

function tenths(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10
}

function hasCountries({ regions }: FleetAdvice): boolean {
  return regions.some((region) => region.hasCountries)
}

function fleetLine({ regions, clients, located }: FleetAdvice): string {
  const relays = regions.reduce((sum, region) => sum + region.relays, 0)
  const heard = regions.reduce((sum, region) => sum + region.relaysHeard, 0)
  return (
    `${counted(regions.length, 'region')}, ${heard} of ${counted(relays, 'relay')} heard; ` +
    `${counted(clients, 'client')} at home, ${located} of them measured in known places`
  )
}

function notes(advice: FleetAdvice): readonly string[] {
  const nowhere = advice.regions.filter(
    (region) => placeIn(region) === undefined && region.state === RegionState.active,
  )
  return [
    ...(hasCountries(advice)
      ? []
      : [
          'no relay knows the countries of its clients, so there is no advice: -countries=false, the package geoip-lite is not installed, or no client from elsewhere has come yet',
        ]),
    ...nowhere.map(
      (region) =>
        `${title(region)} has no latitude and longitude in the regions file, so its clients do not count`,
    ),
  ]
}

function modelLine({ baseMs, msPerKm, pairs }: PathModel): string {
  const line = `${baseMs.toFixed(1)} ms, and ${(1_000 * msPerKm).toFixed(1)} ms for each 1,000 km`
  return pairs === 0
    ? `A round trip is taken for ${line}: a usual one, since too little is measured.`
    : `A round trip is taken for ${line}: fitted to ${pairs} measured pairs of country and region.`
}

function placeLines({ places, regions }: FleetAdvice): readonly string[] {
  const [best] = places
  if (best === undefined)
    return ['No place helps: nowhere would enough clients find a region that is much nearer.']
  const titles = new Map(regions.map((region) => [region.id, title(region)]))
  return places.flatMap((advice, at) => [
    `${at === 0 ? 'The next region helps most in' : 'and, for others, then'} ${advice.place.name}: ${counted(advice.clients, 'client')} at a median of ` +
      `${ms(advice.nowMs)} would be at about ${ms(advice.thenMs)}.`,
    ...groupLines(advice.groups, titles),
  ])
}

function groupLines(groups: readonly Group[], titles: ReadonlyMap<number, string>): readonly string[] {
  const shown = groups.slice(0, GROUPS_SHOWN).map(({ country, clients, nowMs, thenMs, region }) => {
    const count = String(clients).padStart(7)
    return `  ${country} ${count}  ${ms(nowMs).padStart(6)} -> ${ms(thenMs).padStart(6)}  now at ${titles.get(region) ?? region}`
  })
  const rest = groups.slice(GROUPS_SHOWN)
  if (rest.length === 0) return shown
  return [
    ...shown,
    `  and ${rest.reduce((sum, { clients }) => sum + clients, 0)} in ${rest.length} more groups`,
  ]
}

function idleLine({ region, clients, nowMs, thenMs }: IdleRegion): string {
  if (clients === 0) return `${title(region)} is idle and could go: no client is at home there.`
  const then =
    nowMs === undefined || thenMs === undefined
      ? ''
      : `, which would be at about ${ms(thenMs)} elsewhere instead of ${ms(nowMs)}`
  return `${title(region)} is idle and could go: ${counted(clients, 'client')} at home there${then}.`
}

function title({ code, id }: RegionNumbers): string {
  return `${code} (${id})`
}

function ms(value: number): string {
  return `${Math.round(value)} ms`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function lines(parts: readonly string[]): string {
  return parts.map((part) => `${part}\n`).join('')
}
