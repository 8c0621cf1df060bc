// The p99 of packets over several windows of a load: pooled, because a single window has a few hundred packets beyond its p99, and
// one hiccup of the machine; and by window, to see how they differ.

import { delayMs, mergeDelays } from '../load/delays.ts'
import type { LoadOutcome } from '../load/outcome.ts'

export function pooledP99(loads: readonly LoadOutcome[]): number {
  return delayMs(mergeDelays(loads.map(({ delays }) => delays)), 0.99)
}

export function p99ByWindow(loads: readonly LoadOutcome[]): number[] {
  return loads.map(({ delays }) => delayMs(delays, 0.99))
}
