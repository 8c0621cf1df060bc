// Writes regions as a DERP map, in the three forms that operators paste: Headscale's YAML, Tailscale's policy file
// and plain JSON. Fields that are undefined, false, zero or empty are left out, as Go's encoder does. A node's mesh
// host is not part of a DERP map.

import { stringify } from 'yaml'
import type { Node } from './node.ts'
import type { Region } from './region.ts'

export const MapFormat = { headscale: 'headscale', policy: 'policy', json: 'json' } as const
export type MapFormat = (typeof MapFormat)[keyof typeof MapFormat]

/** What to do with each form. */
export const MAP_FORMAT_HEADINGS: Readonly<Record<MapFormat, string>> = {
  headscale: 'Headscale: save as derp.yaml and list it in config.yaml under derp.paths',
  policy: 'Tailscale: add to the policy file',
  json: 'Complete DERP map',
}

/** The text to paste; ends with a newline. */
export function derpMapText(format: MapFormat, regions: readonly Region[]): string {
  if (format === 'headscale') {
    // A Map, because YAML keys are to be numbers.
    return stringify({ regions: new Map(regions.map((one) => [one.id, lowerCaseKeys(regionJson(one))])) })
  }
  const map = { Regions: Object.fromEntries(regions.map((one) => [one.id, regionJson(one)])) }
  if (format === 'json') return `${JSON.stringify(map, null, 2)}\n`
  // A member of the policy file's object, so without braces around it.
  return `"derpMap": ${JSON.stringify(map, null, 2)}\n`
}

type JsonObject = Readonly<Record<string, unknown>>

function regionJson({ id, code, name, latitude, longitude, nodes }: Region): JsonObject {
  return {
    RegionID: id,
    RegionCode: code,
    RegionName: name,
    ...(latitude === undefined ? {} : { Latitude: latitude }),
    ...(longitude === undefined ? {} : { Longitude: longitude }),
    Nodes: nodes.map((node) => nodeJson(node, id)),
  }
}

/** A node as it stands in the map's JSON. */
export function nodeJson(node: Node, regionId: number): JsonObject {
  const fields: JsonObject = {
    Name: node.name,
    RegionID: regionId,
    HostName: node.hostname,
    CertName: node.certName,
    IPv4: node.ipv4,
    IPv6: node.ipv6,
    STUNPort: node.stunPort,
    STUNOnly: node.isStunOnly,
    DERPPort: node.derpPort,
    InsecureForTests: node.isInsecureForTests,
    STUNTestIP: node.stunTestIp,
    CanPort80: node.canPort80,
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => Boolean(value)))
}

/** Headscale reads its YAML files by the lower-case names of the fields. */
function lowerCaseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerCaseKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.toLowerCase(), lowerCaseKeys(inner)]),
  )
}
