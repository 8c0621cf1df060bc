// Reads the fleet's file, in which operators list regions and their relays, in YAML or JSON. All relays of a fleet
// share one file; fleet-position.ts finds this relay in it. Strict: an unknown key is a problem with its line and column,
// and a file with any problem is not used at all. The file's shape is regions-schema.ts; derp-map-writer.ts writes the
// regions for clients.

import type { z } from 'zod'
import type { Node } from './node.ts'
import { DERP_PORT } from '#protocol/default-ports.ts'
import type { Problem } from './problem.ts'
import { parseRegionId, RegionState, type Region } from './region.ts'
import { checkRegions } from './regions-check.ts'
import { expectedAt, REGIONS_SHAPE, type FileNode, type FileRegion } from './regions-schema.ts'
import { YamlPlaces, type Place } from './yaml-places.ts'

/** Warnings are of content that is valid but probably not meant. */
export type RegionsFile =
  | { readonly regions: readonly Region[]; readonly warnings: readonly Problem[] }
  | { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] }

/** Larger than any fleet's file, and small enough to be read while the relay serves. */
export const REGIONS_FILE_BYTES_MAX = 4_194_304

/** Reads the file's text; `path` is only used to name the file in problems. */
export function readRegionsFile(path: string, text: string): RegionsFile {
  if (text.length > REGIONS_FILE_BYTES_MAX) {
    const found = `has ${text.length} characters`
    return { problems: [{ where: path, found, expected: `at most ${REGIONS_FILE_BYTES_MAX}` }], warnings: [] }
  }
  try {
    return new RegionsReader(path, text).read()
  } catch (error) {
    // Endless nesting exhausts the parser's stack.
    const found = `cannot be read: ${error instanceof Error ? error.message : String(error)}`
    return { problems: [{ where: path, found, expected: 'regions with their relays' }], warnings: [] }
  }
}

class RegionsReader {
  readonly #path: string
  readonly #places: YamlPlaces
  /** With their places, by which they are sorted at last. */
  readonly #problems: (Problem & Place)[] = []
  readonly #warnings: (Problem & Place)[] = []

  constructor(path: string, text: string) {
    this.#path = path
    this.#places = new YamlPlaces(text)
  }

  read(): RegionsFile {
    for (const { message, line, column } of this.#places.faults) {
      const where = `${this.#path}:${line}:${column}`
      this.#problems.push({ where, found: message, expected: '', line, column })
    }
    const regions = this.#places.isReadable ? this.#regions() : []
    const warnings = inOrder(this.#warnings)
    return this.#problems.length > 0
      ? { problems: inOrder(this.#problems), warnings }
      : { regions: regions.sort((a, b) => a.id - b.id), warnings }
  }

  /** All problems are reported at once: those of the shape do not hide those of the content. */
  #regions(): Region[] {
    let content: unknown
    try {
      content = this.#places.content()
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error)
      const expected = 'regions without YAML aliases'
      this.#problems.push({ where: this.#path, found, expected, line: 1, column: 1 })
      return []
    }
    const parsed = REGIONS_SHAPE.safeParse(content)
    if (!parsed.success) for (const issue of parsed.error.issues) this.#reportIssue(issue, content)
    checkRegions(content, {
      problem: (path, found, expected) => this.#problems.push(this.#placed(path, found, expected)),
      warning: (path, found, expected) => this.#warnings.push(this.#placed(path, found, expected)),
    })
    if (!parsed.success) return []
    return Object.entries(parsed.data.regions).map(([key, region]) => regionOf(key, region))
  }

  #reportIssue(issue: z.core.$ZodIssue, content: unknown): void {
    const { path } = issue
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const place = this.#places.ofKey([...path, key])
        this.#problems.push(
          this.#at(place, [...path, key], 'unknown key', 'one of the keys in docs/fleet.md'),
        )
      }
      return
    }
    const value = valueAt(content, path)
    const found = value === undefined ? 'is missing' : `invalid value${shownValue(value)}`
    this.#problems.push(this.#placed(path, found, expectedAt(path)))
  }

  #placed(path: readonly PropertyKey[], found: string, expected: string): Problem & Place {
    // What is wrong with a region as a whole is mostly its number.
    const place = path.length === 2 ? this.#places.ofKey(path) : this.#places.of(path)
    return this.#at(place, path, found, expected)
  }

  #at(place: Place, path: readonly PropertyKey[], found: string, expected: string): Problem & Place {
    const { line, column } = place
    const keys = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
    return { where: `${this.#path}:${line}:${column}: ${keys.slice(1)}`, found, expected, line, column }
  }
}

/** As they stand in the file. */
function inOrder(problems: readonly (Problem & Place)[]): readonly Problem[] {
  return [...problems]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .map(({ where, found, expected }) => ({ where, found, expected }))
}

/** A default that is written out equals one that is left out, so adding or removing it is no change of the fleet. */
function regionOf(key: string, region: FileRegion): Region {
  const { code, name = code, latitude, longitude, state, preferWithinMs } = region
  return {
    // A key that is no number is a problem, so no region is used.
    id: parseRegionId(key) ?? 0,
    code,
    name,
    latitude,
    longitude,
    state: state === RegionState.active ? undefined : state,
    preferWithinMs,
    nodes: region.nodes.map(nodeOf),
  }
}

function nodeOf(node: FileNode): Node {
  const pin = node.pin?.replace('sha256-raw:', '').replaceAll(':', '').toLowerCase()
  return {
    name: node.name,
    hostname: node.hostname,
    certName: pin === undefined ? node.certname : `sha256-raw:${pin}`,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    stunPort: node.stunport || undefined,
    derpPort: node.derpport === DERP_PORT ? undefined : node.derpport,
    canPort80: node.canport80 || undefined,
    isStandby: node.standby || undefined,
    meshHost: node.mesh,
  }
}

function valueAt(content: unknown, path: readonly PropertyKey[]): unknown {
  let value = content
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Readonly<Record<PropertyKey, unknown>>)[part]
  }
  return value
}

/** A space and the value on one line, cut to 80 characters; empty for lists and mappings. */
function shownValue(value: unknown): string {
  const text = typeof value === 'object' && value !== null ? '' : ` ${JSON.stringify(value)}`
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
