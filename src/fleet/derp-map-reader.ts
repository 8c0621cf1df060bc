// Reads a DERP map of any origin: Tailscale's JSON or Headscale's YAML, field names in upper or lower case as Go's
// decoder accepts them. Lenient: a map with mistakes is used as far as possible, and each mistake is a problem beside
// it. The writer is derp-map-writer.ts; the fleet's own file, which is read strictly, is regions-file.ts.

import { z } from 'zod'
import type { Node } from './node.ts'
import { isPrintable } from './printable-text.ts'
import type { Problem } from './problem.ts'
import { parseRegionId, REGION_ID_MAX, RegionState, type Region } from './region.ts'
import { foreignYaml } from './yaml-text.ts'

export interface DerpMap {
  /** By ascending id; regions that are null in the map are left out. */
  readonly regions: readonly Region[]
  /** By region: clients multiply its latency by this when they choose a home. 1 for a region that is not here. */
  readonly scores: ReadonlyMap<number, number>
  /** What clients would refuse or misread. A node that cannot be used is not in `regions`. */
  readonly problems: readonly Problem[]
}

// 901 without quotes is a number to YAML and a name to Headscale. Control characters are refused: names are printed
// to terminals.
const name = z
  .union([z.string(), z.number().transform(String)])
  .pipe(z.string().refine(isPrintable, 'has unprintable characters'))
const optionalText = z.string().optional()

const NODE = z.object({
  name: name.pipe(z.string().min(1, 'is empty')),
  hostname: name.pipe(z.string().min(1, 'is empty')),
  regionid: z.int().optional(),
  certname: optionalText,
  ipv4: optionalText,
  ipv6: optionalText,
  stunport: z.int().min(-1).max(65_535).optional(),
  derpport: z.int().min(0).max(65_535).optional(),
  stunonly: z.boolean().optional(),
  insecurefortests: z.boolean().optional(),
  canport80: z.boolean().optional(),
  stuntestip: optionalText,
})

const REGION = z.object({
  regionid: z.int().optional(),
  regioncode: name.default(''),
  // No client depends on the following, so mistakes in them are passed over.
  regionname: name.optional().catch(undefined),
  latitude: z.number().optional().catch(undefined),
  longitude: z.number().optional().catch(undefined),
  nomeasurenohome: z.boolean().optional(),
  avoid: z.boolean().optional().catch(undefined),
  nodes: z.array(z.unknown()).default([]),
})

const MAP = z.object({
  regions: z.record(z.string(), z.unknown()),
  homeparams: z
    .object({ regionscore: z.record(z.string(), z.number()) })
    .optional()
    .catch(undefined),
})

/** What Headscale must find in a file, by these names alone. It passes over all others without a word. */
const HEADSCALE_FILE = z.object({
  regions: z.record(
    z.string(),
    z.object({ nodes: z.array(z.object({ hostname: z.union([z.string(), z.number()]) })) }).nullable(),
  ),
})

/** Whether Headscale reads the map's regions from a file of this text: YAML with the regions at the top, in lower case. */
export function isHeadscaleFile(text: string): boolean {
  try {
    return HEADSCALE_FILE.safeParse(foreignYaml(text)).success
  } catch {
    return false
  }
}

/** Reads a map; a text that is no map at all gives a `fault`, which completes "the map …". */
export function readDerpMap(text: string): DerpMap | { readonly fault: string } {
  let content: unknown
  try {
    content = text.trimStart().startsWith('{') ? JSON.parse(text) : foreignYaml(text)
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    return { fault: `is neither JSON nor YAML: ${reason}` }
  }
  const lowered = MAP.safeParse(lowerCased(content, 0))
  if (!lowered.success) return { fault: 'has no regions; expected {"Regions": {"900": {...}}}' }
  const reader = new MapReader()
  const regions = Object.entries(lowered.data.regions).map(([key, value]) => reader.region(key, value))
  const scores = scoresOf(lowered.data.homeparams?.regionscore ?? {})
  return { regions: regions.filter((region) => region !== undefined), scores, problems: reader.problems }
}

/** Clients ignore scores that are not positive. */
function scoresOf(scores: Readonly<Record<string, number>>): ReadonlyMap<number, number> {
  const byRegion = Object.entries(scores).map(([key, score]) => [parseRegionId(key) ?? 0, score] as const)
  return new Map(byRegion.filter(([id, score]) => id > 0 && score > 0))
}

class MapReader {
  readonly problems: Problem[] = []
  readonly #regionByNode = new Map<string, string>()

  region(key: string, value: unknown): Region | undefined {
    const where = `region ${key}`
    const id = parseRegionId(key)
    if (id === undefined) {
      this.#report(where, `invalid region number ${JSON.stringify(key)}`, `1 to ${REGION_ID_MAX}`)
      return undefined
    }
    const parsed = REGION.safeParse(value)
    if (!parsed.success) return this.#reportIssues(where, parsed.error)
    const { regionid = id, regioncode: code, regionname, latitude, longitude, nodes } = parsed.data
    const { nomeasurenohome, avoid: isAvoid } = parsed.data
    const state = nomeasurenohome === true ? RegionState.draining : undefined
    if (regionid !== id) this.#report(where, `RegionID is ${regionid}`, `${id}, the same as its key`)
    if (nodes.length === 0) this.#report(where, 'has no nodes', 'at least one node')
    const read = nodes.map((node, at) => this.#node(node, id, `${where}, node ${at + 1}`))
    const name = regionname || code
    const usable = read.filter((node) => node !== undefined)
    return { id, code, name, latitude, longitude, state, isAvoid, nodes: usable }
  }

  #node(value: unknown, regionId: number, where: string): Node | undefined {
    const parsed = NODE.safeParse(value)
    if (!parsed.success) return this.#reportIssues(where, parsed.error)
    const node = parsed.data
    if (node.regionid !== undefined && node.regionid !== regionId) {
      this.#report(where, `RegionID is ${node.regionid}`, `${regionId}, the same as its region's`)
    }
    const other = this.#regionByNode.get(node.name)
    if (other !== undefined) {
      this.#report(where, `name ${JSON.stringify(node.name)} is already used by ${other}`, 'a unique name')
    }
    this.#regionByNode.set(node.name, where)
    // Go leaves out what has its zero value, so a zero or empty field says the same as an absent one.
    return {
      name: node.name,
      hostname: node.hostname,
      certName: node.certname || undefined,
      ipv4: node.ipv4 || undefined,
      ipv6: node.ipv6 || undefined,
      stunPort: node.stunport || undefined,
      derpPort: node.derpport || undefined,
      isStunOnly: node.stunonly,
      isInsecureForTests: node.insecurefortests,
      canPort80: node.canport80,
      stunTestIp: node.stuntestip || undefined,
    }
  }

  #reportIssues(where: string, error: z.ZodError): undefined {
    for (const { path, message } of error.issues) {
      this.#report(where, [path.join('.'), message].filter((part) => part !== '').join(': '), '')
    }
  }

  #report(where: string, found: string, expected: string): void {
    this.problems.push({ where, found, expected })
  }
}

/** Deeper than any map. Deeper values are cut off, so that no text can exhaust the stack. */
const DEPTH_MAX = 8

/** A copy with all field names in lower case and without null values, which Go's decoder passes over. */
function lowerCased(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth === DEPTH_MAX) return undefined
  if (Array.isArray(value)) return value.map((inner) => lowerCased(inner, depth + 1))
  const entries = Object.entries(value).filter(([, inner]) => inner !== null)
  const lowered = entries.map(([name, inner]) => [name.toLowerCase(), lowerCased(inner, depth + 1)] as const)
  const [first] = lowered
  // In Tailscale's policy file the map is one level deeper.
  if (depth === 0 && lowered.length === 1 && first?.[0] === 'derpmap') return first[1]
  return Object.fromEntries(lowered)
}
