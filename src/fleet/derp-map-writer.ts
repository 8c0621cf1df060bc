// Regions for a DERP map, each with its relays, in the three forms that people paste: Headscale's YAML, Tailscale's policy
// file, plain JSON. Fields that have their zero value are left out.

import { stringify } from 'yaml'
import type { DerpNode } from './derp-node.ts'

export interface RegionEntry {
  readonly id: number
  readonly code: string
  readonly name: string
  /** Degrees; undefined where they are not said. */
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
  readonly nodes: readonly DerpNode[]
}

export const MapFormat = { headscale: 'headscale', policy: 'policy', json: 'json' } as const
export type MapFormat = (typeof MapFormat)[keyof typeof MapFormat]

/** The text to paste, with a newline at its end. */
export function entryText(format: MapFormat, entries: readonly RegionEntry[]): string {
  if (format === 'headscale')
    return stringify({ regions: new Map(entries.map((entry) => [entry.id, lowerCaseKeys(region(entry))])) })
  const regions = { Regions: Object.fromEntries(entries.map((entry) => [entry.id, region(entry)])) }
  if (format === 'json') return `${JSON.stringify(regions, null, 2)}\n`
  // A member of the policy file's object, so without braces around it.
  return `"derpMap": ${JSON.stringify(regions, null, 2)}\n`
}

/** What to do with each form. */
export const ENTRY_HEADINGS: Readonly<Record<MapFormat, string>> = {
  headscale: 'Headscale: save as derp.yaml and list it in config.yaml under derp.paths',
  policy: 'Tailscale: add to the policy file',
  json: 'Complete DERP map',
}

function region(entry: RegionEntry): Readonly<Record<string, unknown>> {
  const { id, code, name, latitude, longitude, nodes } = entry
  return {
    RegionID: id,
    RegionCode: code,
    RegionName: name,
    ...(latitude === undefined ? {} : { Latitude: latitude }),
    ...(longitude === undefined ? {} : { Longitude: longitude }),
    Nodes: nodes,
  }
}

/** Headscale reads its YAML files by the lower-case names of the fields. */
function lowerCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerCaseKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.toLowerCase(), lowerCaseKeys(inner)]),
  )
}
