// Whether the fleet's file can be this relay's: that it has this relay, or the region that this relay is said to be of,
// and that what the operator says of the relay does not contradict it. Asked at the start, and whenever the file has
// changed: a file that leaves this relay out is a mistake rather than a wish.

import type { FleetNode, FleetRegion } from './regions-file.ts'

/** What the operator says of this relay. */
export interface OwnWords {
  readonly hostname: string
  readonly node: string | undefined
  readonly region: number | undefined
  /** It is called by one name in a key directory. */
  readonly hasDirectory: boolean
}

/** A complaint without where it belongs; undefined: the file is as it should be. */
export function placeProblem(
  path: string,
  regions: readonly FleetRegion[],
  { hostname, node, region, hasDirectory }: OwnWords,
): { readonly found: string; readonly expected: string } | undefined {
  const own = regions.filter(({ nodes }) => nodes.some((relay) => isOwn(relay, hostname, node)))
  const who = node === undefined ? `hostname ${JSON.stringify(hostname)}` : `name ${JSON.stringify(node)}`
  if (own.length === 0 && region === undefined) {
    return {
      found: `${path} has no relay with the ${who}`,
      expected: 'an entry for this relay, or its region by -region',
    }
  }
  const ids = regions.map(({ id }) => id)
  if (region !== undefined && !ids.includes(region)) {
    return { found: `${path} has no region ${region} (-region)`, expected: `one of ${ids.join(', ')}` }
  }
  if (region !== undefined && own.length > 0 && !own.some(({ id }) => id === region)) {
    const there = own.map(({ id }) => id).join(' and ')
    return {
      found: `${path} has the relay with the ${who} in region ${there}, but -region is ${region}`,
      expected: 'the same region in both, or no -region',
    }
  }
  const names = new Set(
    own.flatMap(({ nodes }) => nodes.filter((relay) => isOwn(relay, hostname, node)).map(dialledAs)),
  )
  if (hasDirectory && names.size !== 1) {
    return {
      found: `${path} has ${names.size === 0 ? 'no relay' : 'several relays'} with the ${who}`,
      expected: 'exactly one, because a key directory needs its name; select it by -node',
    }
  }
  return undefined
}

/** DNS names are the same in any case. */
export function isOwn(relay: FleetNode, hostname: string, node: string | undefined): boolean {
  return node === undefined ? relay.hostname.toLowerCase() === hostname.toLowerCase() : relay.name === node
}

function dialledAs({ hostname, port, meshHost = '' }: FleetNode): string {
  return `${hostname}:${port}/${meshHost}`.toLowerCase()
}
