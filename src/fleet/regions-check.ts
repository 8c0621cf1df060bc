// What the shape of the fleet's file cannot say: that names are unique, that some region is on, that a node says once how
// its certificate is verified. Reads the raw content, which may have any shape, so that these problems are reported beside
// those of the shape (regions-file.ts).

import { DERP_PORT } from '#protocol/default-ports.ts'
import {
  isOwnRegion,
  OWN_REGION_MAX,
  OWN_REGION_MIN,
  parseRegionId,
  REGION_ID_MAX,
  RegionState,
} from './region.ts'

type Report = (path: readonly PropertyKey[], found: string, expected: string) => void

export interface CheckReports {
  readonly problem: Report
  /** The content is valid but probably not meant. */
  readonly warning: Report
}

/** More relays than any fleet has: each costs a link from every relay. */
const NODES_MAX = 10_000

interface RawRegion {
  readonly key: string
  readonly region: RawObject
  readonly nodes: readonly unknown[]
}

type RawObject = Readonly<Record<string, unknown>>

export function checkRegions(content: unknown, reports: CheckReports): void {
  const all = isObject(content) ? content.regions : undefined
  if (!isObject(all)) return
  const regions = Object.entries(all).flatMap(([key, region]): readonly RawRegion[] =>
    isObject(region) ? [{ key, region, nodes: Array.isArray(region.nodes) ? region.nodes : [] }] : [],
  )
  checkCounts(all, regions, reports)
  checkNumbers(Object.keys(all), reports)
  checkStates(regions, reports)
  checkNodeNames(regions, reports)
  checkCodes(regions, reports)
  for (const region of regions) checkRepeatedRelays(region, reports)
  for (const { key, nodes } of regions) {
    for (const [at, node] of nodes.entries()) checkCertificate(['regions', key, 'nodes', at], node, reports)
  }
}

function checkCounts(all: RawObject, regions: readonly RawRegion[], { problem }: CheckReports): void {
  if (Object.keys(all).length === 0) problem(['regions'], 'is empty', 'at least one region')
  const nodeCount = regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
  if (nodeCount > NODES_MAX) problem(['regions'], `has ${nodeCount} relays`, `at most ${NODES_MAX}`)
}

function checkNumbers(keys: readonly string[], { problem, warning }: CheckReports): void {
  const keyOf = new Map<number, string>()
  for (const key of keys) {
    const path = ['regions', key]
    const id = parseRegionId(key)
    if (id === undefined) {
      problem(path, `invalid region number ${JSON.stringify(key)}`, `1 to ${REGION_ID_MAX}`)
      continue
    }
    const other = keyOf.get(id)
    if (other !== undefined) problem(path, `is region ${id}, like "${other}"`, 'each region once')
    keyOf.set(id, key)
    if (isOwnRegion(id)) continue
    warning(
      path,
      "Tailscale's policy file refuses this region number",
      `${OWN_REGION_MIN} to ${OWN_REGION_MAX}`,
    )
  }
}

/** A DERP map without regions cuts all clients off; one without a possible home leaves them without a new home. */
function checkStates(regions: readonly RawRegion[], { problem, warning }: CheckReports): void {
  const states = regions.map(({ region }) => region.state ?? RegionState.active)
  if (states.length === 0) return
  if (states.every((state) => state === RegionState.off)) {
    problem(['regions'], 'all regions are off', 'at least one that is active or draining')
  } else if (states.every((state) => state === RegionState.off || state === RegionState.draining)) {
    warning(['regions'], 'no region is active, so clients find no new home', 'at least one active region')
  }
}

/** Names are unique in the fleet, because clients find nodes by name. */
function checkNodeNames(regions: readonly RawRegion[], { problem }: CheckReports): void {
  const regionOf = new Map<string, string>()
  for (const { key, nodes } of regions) {
    for (const [at, node] of nodes.entries()) {
      const name = isObject(node) ? nameText(node.name) : undefined
      if (name === undefined) continue
      const other = regionOf.get(name)
      if (other !== undefined) {
        const found = `name ${JSON.stringify(name)} is already used in region ${other}`
        problem(['regions', key, 'nodes', at, 'name'], found, 'a unique name')
      }
      regionOf.set(name, key)
    }
  }
}

/** Clients would try the same relay again when it fails. A relay in two regions is a standby of one of them. */
function checkRepeatedRelays({ key, nodes }: RawRegion, { warning }: CheckReports): void {
  const nameOf = new Map<string, string>()
  for (const [at, node] of nodes.entries()) {
    if (!isObject(node) || typeof node.hostname !== 'string') continue
    const { hostname, derpport = DERP_PORT, ipv4, ipv6, name } = node
    const relay = JSON.stringify([hostname.toLowerCase(), derpport, ipv4, ipv6])
    const other = nameOf.get(relay)
    if (other === undefined) {
      nameOf.set(relay, nameText(name) ?? `${at + 1}`)
      continue
    }
    const found = `is the same relay as node ${other}: ${hostname}, port ${String(derpport)}`
    warning(['regions', key, 'nodes', at], found, 'each relay once in a region')
  }
}

function checkCodes(regions: readonly RawRegion[], { warning }: CheckReports): void {
  const regionOf = new Map<string, string>()
  for (const { key, region } of regions) {
    const code = nameText(region.code)
    if (code === undefined) continue
    const other = regionOf.get(code)
    if (other !== undefined) {
      warning(
        ['regions', key, 'code'],
        `code ${JSON.stringify(code)} is also that of region ${other}`,
        'its own',
      )
    }
    regionOf.set(code, key)
  }
}

function checkCertificate(path: readonly PropertyKey[], node: unknown, { problem }: CheckReports): void {
  if (!isObject(node) || node.pin === undefined || node.certname === undefined) return
  problem([...path, 'pin'], 'conflicts with certname', 'one of the two')
}

/** 901 without quotes is a number to YAML but meant as a name. */
function nameText(name: unknown): string | undefined {
  return typeof name === 'string' || typeof name === 'number' ? String(name) : undefined
}

function isObject(value: unknown): value is RawObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
