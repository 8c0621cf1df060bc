// Which regions and nodes clients are told of: a function of the fleet's file and of the state of each node. It gives the
// same for the same input, whichever relay calls it. It is what the map ought to be now; held-map.ts decides when clients
// see it, derp-map-writer.ts writes it.

import type { Node } from './node.ts'
import { NodeState, type StateOf } from './node-state.ts'
import { RegionState, type Region } from './region.ts'

/**
 * The regions of the map, by ascending id. Never empty: without any live region it is the last map or, without one, the
 * file's. In the result the state `draining` stands for NoMeasureNoHome.
 */
export function liveMap(
  regions: readonly Region[],
  stateOf: StateOf,
  last: readonly Region[] = [],
): readonly Region[] {
  const live = entries(regions, stateOf)
  if (live.length > 0) return live
  return last.length > 0 ? last : fileMap(regions)
}

/** The map of a fleet whose nodes are all up. Empty only if no region is on, which is no valid file. */
export function fileMap(regions: readonly Region[]): readonly Region[] {
  return entries(regions, () => NodeState.up)
}

function entries(regions: readonly Region[], stateOf: StateOf): readonly Region[] {
  const live = regions.flatMap((region) => liveRegion(region, stateOf))
  // With no other home left, the mark would drive clients away and lead them nowhere.
  const hasHome = live.some(({ isDraining }) => !isDraining)
  return live
    .map(({ region, nodes, isDraining }) => entry(region, nodes, hasHome && isDraining))
    .sort((a, b) => a.id - b.id)
}

interface LiveRegion {
  readonly region: Region
  readonly nodes: readonly Node[]
  /** By its nodes, not by the file. */
  readonly isDraining: boolean
}

function liveRegion(region: Region, stateOf: StateOf): readonly LiveRegion[] {
  if (region.state === RegionState.off) return []
  const nodes = region.nodes.filter(({ name }) => stateOf(name) !== NodeState.down)
  if (nodes.length === 0) return []
  // A standby is there for a region that has failed; it does not keep clients in one that empties.
  const regular = nodes.filter(({ isStandby }) => isStandby !== true)
  const drained = regular.length > 0 ? regular : nodes
  const isEmptying = drained.every(({ name }) => stateOf(name) === NodeState.draining)
  return [{ region, nodes, isDraining: region.state === RegionState.draining || isEmptying }]
}

/** Nothing volatile: clients close their connections to every region whose entry changes. */
function entry(region: Region, nodes: readonly Node[], isMarked: boolean): Region {
  const state = isMarked || region.state === RegionState.draining ? RegionState.draining : undefined
  const standbyLast = nodes.toSorted((a, b) => Number(a.isStandby === true) - Number(b.isStandby === true))
  return { ...region, state, nodes: standbyLast }
}
