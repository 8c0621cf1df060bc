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
  readonly nodes: readonly Node[]
}

/** Clients keep the region's id in the port of a pseudo address, which has sixteen bits. */
export const REGION_ID_MAX = 65_535

/** Tailscale reserves regions 900 to 999 for users' own. */
export const OWN_REGION_MIN = 900
export const OWN_REGION_MAX = 999

/** The region's id of a text; undefined for a text that is none. */
export function parseRegionId(text: string): number | undefined {
  const id = /^\d+$/.test(text) ? Number(text) : 0
  return id >= 1 && id <= REGION_ID_MAX ? id : undefined
}
