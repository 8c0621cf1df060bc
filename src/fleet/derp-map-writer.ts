// Writes regions as a DERP map, in the three forms that operators paste and relays serve: Headscale's YAML, Tailscale's
// policy file and plain JSON. Fields that are undefined, false, zero or empty are left out, as Go's encoder does. A node's
// mesh host is not part of a DERP map.

import { stringify } from 'yaml'
import { canonicalJson, type Json } from './canonical-json.ts'
import { hasPreference, homeScore } from './home-score.ts'
import type { Node } from './node.ts'
import { RegionState, type Region } from './region.ts'

export const MapFormat = { headscale: 'headscale', policy: 'policy', json: 'json' } as const
export type MapFormat = (typeof MapFormat)[keyof typeof MapFormat]

/** What to do with each form. */
export const MAP_FORMAT_HEADINGS: Readonly<Record<MapFormat, string>> = {
  headscale: 'Headscale: save as derp.yaml and list it in config.yaml under derp.paths',
  policy: 'Tailscale: add to the policy file',
  json: 'Complete DERP map',
}

/**
 * The text to paste or to serve. The same regions in any order give the same bytes. JSON is canonical (RFC 8785), so it has
 * no line end; the other forms end with one.
 */
export function derpMapText(format: MapFormat, regions: readonly Region[]): string {
  const sorted = regions.toSorted((a, b) => a.id - b.id)
  const scores = sorted.map((one) => [one.id, homeScore(one.preferWithinMs)] as const)
  const homeParams = { RegionScore: Object.fromEntries(scores) }
  if (format === 'headscale') {
    // A Map, because YAML keys are to be numbers.
    const yaml = { regions: new Map(sorted.map((one) => [one.id, lowerCaseKeys(regionJson(one))])) }
    const content = hasPreference(sorted) ? { homeparams: { regionscore: new Map(scores) }, ...yaml } : yaml
    return stringify(content, YAML_FORM)
  }
  const map = { Regions: Object.fromEntries(sorted.map((one) => [one.id, regionJson(one)])) }
  // Written out for all regions, since a client keeps each score until it is given another.
  if (format === 'json') return canonicalJson({ HomeParams: homeParams, ...map })
  // A member of the policy file's object, so without braces around it. Only who uses scores needs them there.
  return `"derpMap": ${canonicalJson(hasPreference(sorted) ? { HomeParams: homeParams, ...map } : map)}\n`
}

/**
 * Strings are JSON's: no reader takes the code `no` for a truth value, and programs in other languages write the same bytes
 * without a YAML writer (deploy/terraform, deploy/helm).
 */
const YAML_FORM = {
  defaultStringType: 'QUOTE_DOUBLE',
  defaultKeyType: 'PLAIN',
  doubleQuotedAsJSON: true,
  lineWidth: 0,
} as const

type JsonObject = { readonly [name: string]: Json | undefined }

/** A region as it stands in the map's JSON. */
export function regionJson({ id, code, name, latitude, longitude, state, nodes }: Region): JsonObject {
  return {
    RegionID: id,
    RegionCode: code,
    RegionName: name,
    ...(latitude === undefined ? {} : { Latitude: shortDegrees(latitude) }),
    ...(longitude === undefined ? {} : { Longitude: shortDegrees(longitude) }),
    ...(state === RegionState.draining ? { NoMeasureNoHome: true } : {}),
    Nodes: nodes.map((node) => nodeJson(node, id)),
  }
}

/**
 * Ten metres are enough for a place of relays; a number with few digits is the same in every language. Halves are rounded up
 * as the digits in the file say: multiplied in binary, 1.00005 might be less than a half.
 */
function shortDegrees(degrees: number): number {
  if (Math.abs(degrees) < 0.000_01) return 0
  return Math.round(Number(`${degrees}e4`)) / 10_000 || 0
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
