// A DERP map as text, read leniently: Tailscale's JSON, Headscale's YAML, names in any case as Go's decoder takes
// them. What can be used of a map with mistakes is used, and every mistake is a complaint beside it. Reading only:
// the entry that this relay writes of itself is derp-node.ts.

import { parse } from 'yaml'
import { z } from 'zod'
import type { Problem } from './problem.ts'

/** What a client measures where a node says nothing else. */
export const STUN_PORT = 3_478
/** Where a client connects where a node says nothing else. */
const DERP_PORT = 443
/** Clients keep the region in the port of a pseudo address, which has sixteen bits. */
const REGION_ID_MAX = 65_535

/** One relay of a map, with the defaults filled in. */
export interface MapNode {
  readonly name: string
  readonly hostName: string
  /** Another name to verify, or `sha256-raw:` and a digest; empty when neither. */
  readonly certName: string
  /** A literal; empty: ask DNS; anything else: none. */
  readonly ipv4: string
  readonly ipv6: string
  /** −1 is off. */
  readonly stunPort: number
  readonly derpPort: number
  readonly isStunOnly: boolean
  readonly isInsecureForTests: boolean
  readonly canPort80: boolean
  /** Where STUN is asked instead, in tests; empty when nowhere else. */
  readonly stunTestIp: string
}

export interface MapRegion {
  readonly id: number
  readonly code: string
  readonly nodes: readonly MapNode[]
}

export interface DerpMap {
  /** By ascending id; null regions are left out. */
  readonly regions: readonly MapRegion[]
  /** What clients would refuse or misread; a node that can't be used is left out. */
  readonly problems: readonly Problem[]
}

// 901 without quotes is a number to YAML and a name to Headscale. What would command a terminal is no name to anybody.
const word = z
  .union([z.string(), z.number().transform(String)])
  .pipe(z.string().regex(/^\P{C}*$/u, 'has unprintable characters'))
const flag = z.boolean().default(false)

const NODE = z.object({
  name: word.pipe(z.string().min(1, 'is empty')),
  hostname: word.pipe(z.string().min(1, 'is empty')),
  regionid: z.int().optional(),
  certname: z.string().default(''),
  ipv4: z.string().default(''),
  ipv6: z.string().default(''),
  stunport: z.int().min(-1).max(65_535).default(0),
  derpport: z.int().min(0).max(65_535).default(0),
  stunonly: flag,
  insecurefortests: flag,
  canport80: flag,
  stuntestip: z.string().default(''),
})

const REGION = z.object({
  regionid: z.int().optional(),
  regioncode: word.default(''),
  nodes: z.array(z.unknown()).default([]),
})

const MAP = z.object({ regions: z.record(z.string(), z.unknown()) })

/** Reads a map; a text that is none at all gives a `fault` that completes "the map …". */
export function readDerpMap(text: string): DerpMap | { readonly fault: string } {
  let content: unknown
  try {
    content = text.trimStart().startsWith('{') ? JSON.parse(text) : parse(text, { logLevel: 'error' })
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    return { fault: `is neither JSON nor YAML: ${reason}` }
  }
  const lowered = MAP.safeParse(lowerCased(content, 0))
  if (!lowered.success) return { fault: 'has no regions; expected {"Regions": {"900": {...}}}' }
  const reader = new MapReader()
  const regions = Object.entries(lowered.data.regions).map(([key, value]) => reader.region(key, value))
  return { regions: regions.filter((region) => region !== undefined), problems: reader.problems }
}

class MapReader {
  readonly problems: Problem[] = []
  readonly #regionByNode = new Map<string, string>()

  region(key: string, value: unknown): MapRegion | undefined {
    const where = `region ${key}`
    const id = /^\d+$/.test(key) ? Number(key) : Number.NaN
    if (!(id >= 1 && id <= REGION_ID_MAX)) {
      this.#complain(where, `invalid region number ${JSON.stringify(key)}`, `1 to ${REGION_ID_MAX}`)
      return undefined
    }
    const parsed = REGION.safeParse(value)
    if (!parsed.success) return this.#refuse(where, parsed.error)
    const { regionid = id, regioncode, nodes } = parsed.data
    if (regionid !== id) this.#complain(where, `RegionID is ${regionid}`, `${id}, the same as its key`)
    if (nodes.length === 0) this.#complain(where, 'has no nodes', 'at least one node')
    const read = nodes.map((node, at) => this.#node(node, id, `${where}, node ${at + 1}`))
    return { id, code: regioncode, nodes: read.filter((node) => node !== undefined) }
  }

  #node(value: unknown, regionId: number, where: string): MapNode | undefined {
    const parsed = NODE.safeParse(value)
    if (!parsed.success) return this.#refuse(where, parsed.error)
    const node = parsed.data
    if (node.regionid !== undefined && node.regionid !== regionId) {
      this.#complain(where, `RegionID is ${node.regionid}`, `${regionId}, the same as its region's`)
    }
    const other = this.#regionByNode.get(node.name)
    if (other !== undefined) {
      this.#complain(where, `name ${JSON.stringify(node.name)} is already used by ${other}`, 'a unique name')
    }
    this.#regionByNode.set(node.name, where)
    return {
      name: node.name,
      hostName: node.hostname,
      certName: node.certname,
      ipv4: node.ipv4,
      ipv6: node.ipv6,
      stunPort: node.stunport === 0 ? STUN_PORT : node.stunport,
      derpPort: node.derpport === 0 ? DERP_PORT : node.derpport,
      isStunOnly: node.stunonly,
      isInsecureForTests: node.insecurefortests,
      canPort80: node.canport80,
      stunTestIp: node.stuntestip,
    }
  }

  #refuse(where: string, error: z.ZodError): undefined {
    for (const { path, message } of error.issues) {
      this.#complain(where, [path.join('.'), message].filter((part) => part !== '').join(': '), '')
    }
  }

  #complain(where: string, found: string, expected: string): void {
    this.problems.push({ where, found, expected })
  }
}

/** Deeper than any map; what is nested deeper is cut off, so that no text can exhaust the stack. */
const DEPTH_MAX = 8

/** The same with all names in lower case and without what is null, which Go's decoder passes over. */
function lowerCased(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth === DEPTH_MAX) return undefined
  if (Array.isArray(value)) return value.map((inner) => lowerCased(inner, depth + 1))
  const entries = Object.entries(value).filter(([, inner]) => inner !== null)
  const lowered = entries.map(([name, inner]) => [name.toLowerCase(), lowerCased(inner, depth + 1)] as const)
  const [first] = lowered
  // A policy file's member: the map is one level deeper.
  if (depth === 0 && lowered.length === 1 && first?.[0] === 'derpmap') return first[1]
  return Object.fromEntries(lowered)
}
