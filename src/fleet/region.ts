// A region of the fleet: the one type for it, whether it comes from the fleet's file, from a DERP map or from
// options. A DERP map is a serialisation of regions: see derp-map-reader.ts and derp-map-writer.ts.

import type { Node } from './node.ts'

export interface Region {
  readonly id: number
  /** Short, as clients print it; empty in a map that has none. */
  readonly code: string
  readonly name: string
  /** Degrees; undefined where the source does not say. */
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
  /** Undefined: active. */
  readonly state?: RegionState | undefined
  /** Clients with a home elsewhere move here for so many milliseconds more: see home-score.ts. Undefined: no preference. */
  readonly preferWithinMs?: number | undefined
  /** Deprecated in DERP maps: clients pass it over in some of their measurements. */
  readonly isAvoid?: boolean | undefined
  readonly nodes: readonly Node[]
}

/**
 * `draining`: clients neither measure the region nor choose it as home, but still reach peers there; in a DERP map,
 * NoMeasureNoHome. `off`: in no DERP map; its relays still are siblings.
 */
export const RegionState = { active: 'active', draining: 'draining', off: 'off' } as const
export type RegionState = (typeof RegionState)[keyof typeof RegionState]

/** Clients keep the region's id in the port of a pseudo address, which has sixteen bits. */
export const REGION_ID_MAX = 65_535

/** Tailscale reserves regions 900 to 999 for users' own. */
export const OWN_REGION_MIN = 900
export const OWN_REGION_MAX = 999

export function isOwnRegion(id: number): boolean {
  return id >= OWN_REGION_MIN && id <= OWN_REGION_MAX
}

/** The region's id of a text; undefined for a text that is none. */
export function parseRegionId(text: string): number | undefined {
  const id = /^\d+$/.test(text) ? Number(text) : 0
  return id >= 1 && id <= REGION_ID_MAX ? id : undefined
}
