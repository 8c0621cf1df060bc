// Reads the fleet's file, in which operators list regions and their relays, in YAML or JSON. All relays of a fleet
// share one file; fleet-position.ts finds this relay in it. Strict: an unknown key is a problem with its line, and a
// file with any problem is not used at all. derp-map-writer.ts writes the regions for clients.

import { isIPv4, isIPv6 } from 'node:net'
import { LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import { DERP_PORT, type Node } from './node.ts'
import type { Problem } from './problem.ts'
import { parseRegionId, REGION_ID_MAX, type Region } from './region.ts'

export type RegionsFile = { readonly regions: readonly Region[] } | { readonly problems: readonly Problem[] }

/** Larger than any fleet's file, and small enough to be read while the relay serves. */
export const REGIONS_FILE_BYTES_MAX = 4_194_304

// 901 without quotes is a number to YAML but meant as a name.
const name = z.union([z.string(), z.number().transform(String)]).pipe(z.string().regex(/^[\w.-]{1,63}$/))
const host = z.string().regex(/^[\w.:-]{1,253}$/)

const NODE = z.strictObject({
  name,
  hostname: host,
  ipv4: z.union([z.literal('none'), z.string().refine(isIPv4)]).optional(),
  ipv6: z.union([z.literal('none'), z.string().refine(isIPv6)]).optional(),
  derpport: z.int().min(1).max(65_535).optional(),
  stunport: z.int().min(-1).max(65_535).optional(),
  canport80: z.boolean().optional(),
  certname: z
    .string()
    .regex(/^(sha256-raw:[0-9a-f]{64}|[\w.-]{1,253})$/)
    .optional(),
  mesh: host.optional(),
})

const REGION = z.strictObject({
  code: name,
  name: z.string().min(1).max(100).optional(),
  latitude: z.number().min(-90).max(90).optional(),
  longitude: z.number().min(-180).max(180).optional(),
  nodes: z.array(NODE).min(1).max(1_000),
})

const FILE = z.strictObject({ regions: z.record(z.string(), REGION) })
/** More relays than any fleet has: each costs a link from every relay. */
const NODES_MAX = 10_000

const EXPECTED: Readonly<Record<string, string>> = {
  code: 'a short name such as fra, of letters, digits, dots and hyphens',
  name: 'a name that is unique in the fleet, of letters, digits, dots and hyphens',
  hostname: 'a host name or an IP address',
  mesh: 'a host name or an IP address that siblings dial',
  ipv4: 'an IPv4 address, or none',
  ipv6: 'an IPv6 address, or none',
  derpport: 'a port, 1 to 65535',
  stunport: 'a port, or -1 for none',
  certname: 'a DNS name, or sha256-raw: and 64 lower-case hex digits',
  nodes: 'a list of at least one relay',
  latitude: 'degrees, -90 to 90',
  longitude: 'degrees, -180 to 180',
  canport80: 'true or false',
  regions: 'regions by number, such as 900:',
}

/** Reads the file's text; `path` is only used to name the file in problems. */
export function readRegionsFile(path: string, text: string): RegionsFile {
  if (text.length > REGIONS_FILE_BYTES_MAX) {
    return {
      problems: [
        {
          where: path,
          found: `has ${text.length} characters`,
          expected: `at most ${REGIONS_FILE_BYTES_MAX}`,
        },
      ],
    }
  }
  try {
    return new RegionsReader(path, text).read()
  } catch (error) {
    // Endless nesting exhausts the parser's stack.
    const found = `cannot be read: ${error instanceof Error ? error.message : String(error)}`
    return { problems: [{ where: path, found, expected: 'regions with their relays' }] }
  }
}

class RegionsReader {
  readonly #path: string
  readonly #lines = new LineCounter()
  readonly #document: Document
  readonly #problems: Problem[] = []

  constructor(path: string, text: string) {
    this.#path = path
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, logLevel: 'error' })
  }

  read(): RegionsFile {
    for (const { message, pos } of this.#document.errors) {
      this.#problems.push({
        where: `${this.#path}:${this.#lines.linePos(pos[0]).line}`,
        found: message,
        expected: '',
      })
    }
    if (this.#problems.length > 0) return { problems: this.#problems }
    const parsed = FILE.safeParse(this.#content())
    if (this.#problems.length > 0) return { problems: this.#problems }
    if (!parsed.success) {
      for (const issue of parsed.error.issues) this.#reportIssue(issue)
      return { problems: this.#problems }
    }
    const regions = Object.entries(parsed.data.regions).map(([key, region]) => this.#region(key, region))
    const nodeCount = regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
    if (regions.length === 0) this.#report(['regions'], 'is empty', 'at least one region')
    if (nodeCount > NODES_MAX) this.#report(['regions'], `has ${nodeCount} relays`, `at most ${NODES_MAX}`)
    this.#checkNames(regions)
    return this.#problems.length > 0 ? { problems: this.#problems } : { regions }
  }

  #content(): unknown {
    try {
      // No aliases: with them, a small file can expand to a huge one.
      return this.#document.toJS({ maxAliasCount: 0 })
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error)
      this.#problems.push({ where: this.#path, found, expected: 'regions without YAML aliases' })
      return undefined
    }
  }

  #region(key: string, region: z.infer<typeof REGION>): Region {
    const id = parseRegionId(key)
    if (id === undefined) {
      this.#report(['regions', key], `invalid region number ${JSON.stringify(key)}`, `1 to ${REGION_ID_MAX}`)
    }
    const { code, name = code, latitude, longitude } = region
    // Without a valid id the file is refused; the rest is read so that all problems are reported at once.
    return { id: id ?? Number.NaN, code, name, latitude, longitude, nodes: region.nodes.map(nodeOf) }
  }

  /** Names are unique in the fleet, because clients find nodes by name. */
  #checkNames(regions: readonly Region[]): void {
    const regionOf = new Map<string, number>()
    for (const { id, nodes } of regions) {
      for (const [i, { name }] of nodes.entries()) {
        const other = regionOf.get(name)
        if (other !== undefined) {
          const where = ['regions', String(id), 'nodes', i, 'name']
          this.#report(
            where,
            `name ${JSON.stringify(name)} is already used in region ${other}`,
            'a unique name',
          )
        }
        regionOf.set(name, id)
      }
    }
  }

  #reportIssue(issue: z.core.$ZodIssue): void {
    const { path } = issue
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        this.#report([...path, key], 'unknown key', 'one of the keys in docs/fleet.md')
      return
    }
    const value: unknown = this.#at(path, false)
    const shown = value === undefined ? 'is missing' : `invalid value${shownValue(value)}`
    const name = path.findLast((part) => typeof part === 'string' && part in EXPECTED)
    this.#report(path, shown, EXPECTED[String(name ?? 'regions')] ?? '')
  }

  #report(path: readonly PropertyKey[], found: string, expected: string): void {
    const line = this.#lineOf(path)
    const keys = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
    this.#problems.push({ where: `${this.#path}:${line}: ${keys.slice(1)}`, found, expected })
  }

  /**
   * What stands at a path. A region's number as key is a number to YAML unless it is in quotes, so both are tried.
   */
  #at(path: readonly PropertyKey[], isNodeWanted: boolean): unknown {
    const [first, region, ...inner] = path
    const numbered = [first, Number(region), ...inner]
    return this.#document.getIn(path, isNodeWanted) ?? this.#document.getIn(numbered, isNodeWanted)
  }

  /** The line of what stands at a path, or of the innermost thing around it that exists. */
  #lineOf(path: readonly PropertyKey[]): number {
    for (let length = path.length; length > 0; length--) {
      const node = this.#at(path.slice(0, length), true)
      if (hasRange(node)) return this.#lines.linePos(node.range[0]).line
    }
    return 1
  }
}

/** A default that is written out equals one that is left out, so adding or removing it is no change of the fleet. */
function nodeOf(node: z.infer<typeof NODE>): Node {
  return {
    name: node.name,
    hostname: node.hostname,
    certName: node.certname,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    stunPort: node.stunport || undefined,
    derpPort: node.derpport === DERP_PORT ? undefined : node.derpport,
    canPort80: node.canport80,
    meshHost: node.mesh,
  }
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

/** A space and the value on one line, cut to 80 characters; empty for lists and mappings. */
function shownValue(value: unknown): string {
  const text = typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
