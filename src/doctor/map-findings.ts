// Judges a DERP map as those who read it see it: Tailscale's clients, Headscale, and against what the relay itself uses. A
// pure function of the map's text.

import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { nodeJson } from '#fleet/derp-map-writer.ts'
import type { RelayFacts } from '#fleet/relay-facts.ts'
import { problemText } from '#fleet/problem.ts'
import { isOwnRegion, type Region } from '#fleet/region.ts'
import { foreignYaml } from '#fleet/yaml-text.ts'
import { fail, listed, ok, skip, warn, type Finding } from './finding.ts'

/** Parts of a map that Headscale reads from a YAML file by these names alone. */
const LOWER_CASE_KEYS =
  /^(regions|regionid|regioncode|regionname|nodes|name|hostname|ipv4|ipv6|stunport|derpport)$/i
const MAP_ADVICE = 'derpfleet map prints a map in each form; derpfleet map check FILE examines a regions file'

export function mapFindings(source: string, text: string, facts: RelayFacts | undefined): readonly Finding[] {
  const map = readDerpMap(text)
  if ('fault' in map) {
    const problem = {
      subject: source,
      seen: `the map ${map.fault}`,
      expected: 'a DERP map',
      advice: MAP_ADVICE,
    }
    return [fail('map-client', problem), fail('map-headscale', problem), skip('map-relay', 'no map', source)]
  }
  const { regions, problems, scores } = map
  return [
    forClients(source, { regions, problems: [...problems.map(problemText), ...withoutRegion(text)] }),
    forHeadscale(source, text, scores),
    againstRelay(source, regions, facts),
  ]
}

function forClients(
  source: string,
  { regions, problems }: { readonly regions: readonly Region[]; readonly problems: readonly string[] },
): Finding {
  const nodes = regions.flatMap((region) => region.nodes)
  const expected = 'a map that clients take as a whole'
  if (problems.length > 0) {
    return fail('map-client', { subject: source, seen: listed(problems), expected, advice: MAP_ADVICE })
  }
  if (nodes.length === 0) {
    const advice = `clients without a region cannot be reached by their peers. ${MAP_ADVICE}`
    return fail('map-client', { subject: source, seen: 'the map has no nodes', expected, advice })
  }
  const foreign = regions.filter(({ id }) => !isOwnRegion(id))
  // Tailscale's own map has the low numbers.
  if (foreign.length > 0 && foreign.length < regions.length) {
    return warn('map-client', {
      subject: source,
      seen: `region ${listed(foreign.map(({ id }) => String(id)))} beside regions of your own`,
      expected: 'numbers from 900 to 999 for your own regions; others replace those of Tailscale',
      advice: 'number the region anew; clients lose their connections to it once',
    })
  }
  return ok('map-client', `${regions.length} regions, ${nodes.length} nodes`, source)
}

/** A node without the number of its region: clients find no region for it, and never use it. */
function withoutRegion(text: string): readonly string[] {
  const regions = membersOf(memberOf(contentOf(text), 'regions'))
  return regions.flatMap(([key, region]) => {
    const nodes = memberOf(region, 'nodes')
    if (!Array.isArray(nodes)) return []
    return nodes.flatMap((node: unknown, at) =>
      memberOf(node, 'regionid') === undefined ? [`region ${key}, node ${at + 1}: RegionID is missing`] : [],
    )
  })
}

function forHeadscale(source: string, text: string, scores: ReadonlyMap<number, number>): Finding {
  const isJson = text.trimStart().startsWith('{')
  const wrong = isJson
    ? []
    : [...new Set(keysOf(contentOf(text), 0))].filter((key) => key !== key.toLowerCase())
  if (wrong.length > 0) {
    return fail('map-headscale', {
      subject: source,
      seen: `the YAML has the keys ${listed(wrong)}`,
      expected: 'keys in lower case alone: Headscale passes over all others without a word',
      advice: 'write derp.paths files with derpfleet map -format headscale',
    })
  }
  const preferred = [...scores].filter(([, score]) => score !== 1).map(([id]) => String(id))
  const note =
    preferred.length === 0 ? '' : `; it does not pass on the preference of region ${listed(preferred)}`
  return ok('map-headscale', `Headscale takes all of it${note}`, source)
}

function againstRelay(source: string, regions: readonly Region[], facts: RelayFacts | undefined): Finding {
  const own = facts?.regions
  if (own === undefined) return skip('map-relay', 'no relay with a regions file was asked', source)
  const inMap = new Map(
    regions.flatMap(({ id, nodes }) => nodes.map((node) => [node.name, { id, node }] as const)),
  )
  const wrong = own.inUse.flatMap((region) =>
    region.state === 'off'
      ? []
      : region.nodes.flatMap((node) => {
          if (!own.ownNodes.includes(node.name)) return []
          const there = inMap.get(node.name)
          if (there === undefined) return [`the map has no node ${node.name}`]
          if (there.id !== region.id)
            return [`${node.name} is in region ${there.id} there, ${region.id} here`]
          const [one, other] = [nodeJson(there.node, there.id), nodeJson(node, region.id)]
          const fields = [...new Set([...Object.keys(one), ...Object.keys(other)])]
          const differing = fields.filter((field) => one[field] !== other[field])
          return differing.map(
            (field) => `${field} of ${node.name} is ${shown(one[field])} there, ${shown(other[field])} here`,
          )
        }),
  )
  if (wrong.length === 0) return ok('map-relay', 'the map has the relay as the regions file does', source)
  return fail('map-relay', {
    subject: source,
    seen: listed(wrong),
    expected: 'in the map what the relay has in its regions file',
    advice:
      'make the map anew from the regions file, or serve it from a relay; derpfleet map diff shows all differences',
  })
}

function shown(value: unknown): string {
  return value === undefined ? 'not given' : JSON.stringify(value)
}

function contentOf(text: string): unknown {
  try {
    const content: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : foreignYaml(text)
    return memberOf(content, 'derpmap') ?? content
  } catch {
    return undefined
  }
}

/** In whatever case its name is written, as Go's JSON decoder has it. */
function memberOf(value: unknown, name: string): unknown {
  return membersOf(value).find(([key]) => key.toLowerCase() === name)?.[1]
}

function membersOf(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : []
}

/** Keys that should be in lower case, of objects and lists at most so deep. */
function keysOf(value: unknown, depth: number): readonly string[] {
  if (typeof value !== 'object' || value === null || depth > 6) return []
  if (Array.isArray(value)) return value.flatMap((inner: unknown) => keysOf(inner, depth + 1))
  const keys = Object.keys(value).filter((key) => LOWER_CASE_KEYS.test(key))
  return [...keys, ...Object.values(value).flatMap((inner: unknown) => keysOf(inner, depth + 1))]
}
