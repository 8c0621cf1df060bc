// From a region's `preferWithinMs` to its score in HomeParams.RegionScore of the DERP map: arithmetic on the file alone,
// never on what was measured. Derivation: docs/fleet.md, "A preferred region", and docs/decisions/0017.

import type { Region } from './region.ts'

/**
 * A Tailscale client leaves its home at L1 for a region at L2 with the score s only if L1 − s·L2 is at least this, and
 * s·L2 is at most two thirds of L1.
 */
const GAIN_MS = 10
/** At this L1 both conditions are the same one: s·L2 ≤ 20 ms. Below, the first is stricter, above, the second. */
const REFERENCE_MS = 3 * GAIN_MS
/** Short decimals. Rounded down, so that the threshold is at most 0.1 ms above its promised place. */
const SCORE_UNIT = 1_000_000

/** 1 without a preference; less attracts clients. */
export function homeScore(preferWithinMs: number | undefined): number {
  if (preferWithinMs === undefined) return 1
  const score = (REFERENCE_MS - GAIN_MS) / (REFERENCE_MS + preferWithinMs)
  return Math.floor(score * SCORE_UNIT) / SCORE_UNIT
}

export function hasPreference(regions: readonly Region[]): boolean {
  return regions.some(({ preferWithinMs }) => preferWithinMs !== undefined)
}
