// This relay's position in the fleet: which nodes of the fleet's regions are this relay, and which other relays are
// its siblings. A function of the regions; mesh-service.ts (control/) gets them, and the relay threads dial.

import { derpPortOf, type Node } from './node.ts'
import { RegionState, type Region } from './region.ts'
import { siblingName, type Sibling } from './sibling.ts'

/** This relay, as its options describe it. */
export interface OwnRelay {
  readonly hostname: string
  /** Its name as a node, for when several nodes of the fleet's file have its host name. */
  readonly node: string | undefined
  /** Its region, for when the fleet's file does not have this relay. */
  readonly region: number | undefined
  /** A key directory locates clients of other regions, so their relays need not be watched. */
  readonly hasDirectory: boolean
}

export interface FleetPosition {
  /** The name that siblings give to this relay; undefined: no node is this relay, or several relays may be. */
  readonly name: string | undefined
  readonly regions: ReadonlySet<number>
  /** Its names as a node of the DERP map; several for a standby. */
  readonly nodes: readonly string[]
  /** Every other relay once; this relay, too, if `name` is undefined. */
  readonly siblings: readonly Sibling[]
}

/** A sibling is inside if it shares a region with this relay, which for a standby is any of its regions. */
export function fleetPosition(regions: readonly Region[], own: OwnRelay): FleetPosition {
  const all = regions.flatMap(({ nodes }) => nodes)
  const names = new Set(all.filter((node) => isOwnNode(node, own)).map(siblingName))
  const [name] = names.size === 1 ? names : []
  const ownRegions = regions.filter(({ nodes }) => nodes.some((node) => names.has(siblingName(node))))
  const ids = new Set(ownRegions.map(({ id }) => id))
  if (own.region !== undefined) ids.add(own.region)
  const siblings = siblingsIn(regions, ids, own.hasDirectory).filter((sibling) => sibling.name !== name)
  const nodes =
    name === undefined ? [] : all.filter((one) => siblingName(one) === name).map((one) => one.name)
  return { name, regions: ids, nodes, siblings }
}

/** Whether a node is this relay: by its name where the options have one, else by its host name. */
export function isOwnNode(
  node: Node,
  { hostname, node: ownName }: Pick<OwnRelay, 'hostname' | 'node'>,
): boolean {
  if (ownName !== undefined) return node.name === ownName
  // DNS names are the same in upper and lower case.
  return node.hostname.toLowerCase() === hostname.toLowerCase()
}

/** The names of relays that need not run: each region that has them is off. */
export function relaysOff(regions: readonly Region[]): ReadonlySet<string> {
  const namesOf = ({ nodes }: Region): readonly string[] => nodes.map(siblingName)
  const isOff = ({ state }: Region): boolean => state === RegionState.off
  const needed = new Set(regions.filter((region) => !isOff(region)).flatMap(namesOf))
  return new Set(
    regions
      .filter(isOff)
      .flatMap(namesOf)
      .filter((name) => !needed.has(name)),
  )
}

function siblingsIn(
  regions: readonly Region[],
  ownRegions: ReadonlySet<number>,
  hasDirectory: boolean,
): readonly Sibling[] {
  const siblings = new Map<string, Sibling>()
  for (const { id, nodes } of regions) {
    for (const node of nodes) {
      const name = siblingName(node)
      const known = siblings.get(name)
      const isInside = ownRegions.has(id) || known?.isInside === true
      siblings.set(name, {
        name,
        host: node.hostname,
        port: derpPortOf(node),
        dialHost: node.meshHost,
        certName: node.certName,
        isInside,
        isWatched: isInside || !hasDirectory,
        nodes: [...(known?.nodes ?? []), node.name],
      })
    }
  }
  return [...siblings.values()]
}
