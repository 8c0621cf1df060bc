// Whether the fleet's file and this relay's options agree: the file has this relay, or the region that the options
// give it. Checked at the start and whenever the file has changed: a file without this relay is taken for a mistake.

import { isOwnNode, type OwnRelay } from './fleet-position.ts'
import type { Problem } from './problem.ts'
import type { Region } from './region.ts'
import { siblingName } from './sibling.ts'

/** Undefined: they agree. The caller adds where the problem is: the option, or the reload. */
export function positionProblem(
  path: string,
  regions: readonly Region[],
  own: OwnRelay,
): Pick<Problem, 'found' | 'expected'> | undefined {
  const { hostname, node, region, hasDirectory } = own
  const ownRegions = regions.filter(({ nodes }) => nodes.some((one) => isOwnNode(one, own)))
  const relay = node === undefined ? `hostname ${JSON.stringify(hostname)}` : `name ${JSON.stringify(node)}`
  if (ownRegions.length === 0 && region === undefined) {
    return {
      found: `${path} has no relay with the ${relay}`,
      expected: 'an entry for this relay, or its region by -region',
    }
  }
  const ids = regions.map(({ id }) => id)
  if (region !== undefined && !ids.includes(region)) {
    return { found: `${path} has no region ${region} (-region)`, expected: `one of ${ids.join(', ')}` }
  }
  if (region !== undefined && ownRegions.length > 0 && !ownRegions.some(({ id }) => id === region)) {
    const there = ownRegions.map(({ id }) => id).join(' and ')
    return {
      found: `${path} has the relay with the ${relay} in region ${there}, but -region is ${region}`,
      expected: 'the same region in both, or no -region',
    }
  }
  const ownNodes = ownRegions.flatMap(({ nodes }) => nodes.filter((one) => isOwnNode(one, own)))
  const names = new Set(ownNodes.map(siblingName))
  if (hasDirectory && names.size !== 1) {
    return {
      found: `${path} has ${names.size === 0 ? 'no relay' : 'several relays'} with the ${relay}`,
      expected: 'exactly one, because a key directory needs its name; select it by -node',
    }
  }
  return undefined
}
