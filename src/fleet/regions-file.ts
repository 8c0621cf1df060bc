// The fleet as its operators write it: regions and the relays in them, in YAML or JSON. One file for all relays of a
// fleet; each finds itself in it. Strict: a word that is not known is a complaint with its line, and a file with any
// complaint is not used at all. What a client is told of the fleet is made from it elsewhere.

import { isIPv4, isIPv6 } from 'node:net'
import { LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import type { Problem } from './problem.ts'

/** One relay of the fleet, in one region; a standby stands in several, under a name of its own in each. */
export interface FleetNode {
  /** Unique over all regions. */
  readonly name: string
  /** What clients and siblings verify; the same for the same relay in every region. */
  readonly hostname: string
  readonly port: number
  /** Name or address that siblings dial instead of the host name. */
  readonly meshHost: string | undefined
  /** As in a DERP map: another name to verify, or `sha256-raw:` and a digest. */
  readonly certName: string | undefined
  /** For clients alone: an address, or `none`. */
  readonly ipv4?: string | undefined
  readonly ipv6?: string | undefined
  /** −1 is off. */
  readonly stunPort?: number | undefined
  readonly canPort80?: boolean | undefined
}

export interface FleetRegion {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
  readonly nodes: readonly FleetNode[]
}

export type RegionsFile =
  | { readonly regions: readonly FleetRegion[] }
  | { readonly problems: readonly Problem[] }

/** Clients keep the region in the port of a pseudo address, which has sixteen bits. */
const REGION_ID_MAX = 65_535
/** Larger than any fleet's, and small enough to be read while the relay serves. */
export const REGIONS_FILE_BYTES_MAX = 4_194_304
const DERP_PORT = 443

// 901 without quotes is a number to YAML and a name to people.
const word = z.union([z.string(), z.number().transform(String)]).pipe(z.string().regex(/^[\w.-]{1,63}$/))
const host = z.string().regex(/^[\w.:-]{1,253}$/)

const NODE = z.strictObject({
  name: word,
  hostname: host,
  ipv4: z.union([z.literal('none'), z.string().refine(isIPv4)]).optional(),
  ipv6: z.union([z.literal('none'), z.string().refine(isIPv6)]).optional(),
  derpport: z.int().min(1).max(65_535).default(DERP_PORT),
  stunport: z.int().min(-1).max(65_535).optional(),
  canport80: z.boolean().optional(),
  certname: z
    .string()
    .regex(/^(sha256-raw:[0-9a-f]{64}|[\w.-]{1,253})$/)
    .optional(),
  mesh: host.optional(),
})

const REGION = z.strictObject({
  code: word,
  name: z.string().min(1).max(100).optional(),
  latitude: z.number().min(-90).max(90).optional(),
  longitude: z.number().min(-180).max(180).optional(),
  nodes: z.array(NODE).min(1).max(1_000),
})

const FILE = z.strictObject({ regions: z.record(z.string(), REGION) })
/** More than any fleet's: each costs a link from every relay. */
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

/** Reads the text of the file at `path`, which is only used to name it. */
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
    // What is nested without end exhausts the parser's stack.
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
      for (const issue of parsed.error.issues) this.#complainOf(issue)
      return { problems: this.#problems }
    }
    const regions = Object.entries(parsed.data.regions).map(([key, region]) => this.#region(key, region))
    const nodeCount = regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
    if (regions.length === 0) this.#complain(['regions'], 'is empty', 'at least one region')
    if (nodeCount > NODES_MAX) this.#complain(['regions'], `has ${nodeCount} relays`, `at most ${NODES_MAX}`)
    this.#judgeNames(regions)
    return this.#problems.length > 0 ? { problems: this.#problems } : { regions }
  }

  #content(): unknown {
    try {
      // No aliases: a small file could stand for a huge one.
      return this.#document.toJS({ maxAliasCount: 0 })
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error)
      this.#problems.push({ where: this.#path, found, expected: 'regions without YAML aliases' })
      return undefined
    }
  }

  #region(key: string, region: z.infer<typeof REGION>): FleetRegion {
    const id = /^\d+$/.test(key) ? Number(key) : Number.NaN
    if (!(id >= 1 && id <= REGION_ID_MAX)) {
      this.#complain(
        ['regions', key],
        `invalid region number ${JSON.stringify(key)}`,
        `1 to ${REGION_ID_MAX}`,
      )
    }
    const nodes = region.nodes.map((node) => ({
      name: node.name,
      hostname: node.hostname,
      port: node.derpport,
      meshHost: node.mesh,
      certName: node.certname,
      ipv4: node.ipv4,
      ipv6: node.ipv6,
      stunPort: node.stunport,
      canPort80: node.canport80,
    }))
    const { code, name = code, latitude, longitude } = region
    return { id, code, name, latitude, longitude, nodes }
  }

  /** Clients find relays by their names. */
  #judgeNames(regions: readonly FleetRegion[]): void {
    const regionOf = new Map<string, number>()
    for (const { id, nodes } of regions) {
      for (const [i, { name }] of nodes.entries()) {
        const other = regionOf.get(name)
        if (other !== undefined) {
          const where = ['regions', String(id), 'nodes', i, 'name']
          this.#complain(
            where,
            `name ${JSON.stringify(name)} is already used in region ${other}`,
            'a unique name',
          )
        }
        regionOf.set(name, id)
      }
    }
  }

  #complainOf(issue: z.core.$ZodIssue): void {
    const { path } = issue
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        this.#complain([...path, key], 'unknown key', 'one of the keys in docs/fleet.md')
      return
    }
    const value: unknown = this.#at(path, false)
    const shown = value === undefined ? 'is missing' : `invalid value${shownValue(value)}`
    const name = path.findLast((part) => typeof part === 'string' && part in EXPECTED)
    this.#complain(path, shown, EXPECTED[String(name ?? 'regions')] ?? '')
  }

  #complain(path: readonly PropertyKey[], found: string, expected: string): void {
    const line = this.#lineOf(path)
    const words = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
    this.#problems.push({ where: `${this.#path}:${line}: ${words.slice(1)}`, found, expected })
  }

  /** A region's number is a number to YAML, unless it is in quotes. */
  #at(path: readonly PropertyKey[], isNodeWanted: boolean): unknown {
    const [first, region, ...inner] = path
    const numbered = [first, Number(region), ...inner]
    return this.#document.getIn(path, isNodeWanted) ?? this.#document.getIn(numbered, isNodeWanted)
  }

  /** The line of what the path leads to, or of the nearest thing around it that is there. */
  #lineOf(path: readonly PropertyKey[]): number {
    for (let length = path.length; length > 0; length--) {
      const node = this.#at(path.slice(0, length), true)
      if (hasRange(node)) return this.#lines.linePos(node.range[0]).line
    }
    return 1
  }
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

/** A space and the value, short and on one line; empty for lists and mappings. */
function shownValue(value: unknown): string {
  const text = typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
