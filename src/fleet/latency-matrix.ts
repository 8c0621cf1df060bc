// The way from every relay of the fleet to every other, as the relays have measured it themselves: the links in their last
// states, with the names that this relay has for both ends. Each direction is a measurement of its own. Has no I/O and
// no clock.
//
// Contract: bounded by RELAYS_MAX, whatever the relays tell; a relay that is down has no row, since what it told is past.

import type { LinkState } from './relay-state.ts'

/** A row and a column each: ten thousand links are two megabytes of JSON, and more than a screen shows. */
const RELAYS_MAX = 100

/** A link as the relay at its beginning has measured it. Numbers that it did not tell are undefined. */
export interface MatrixLink extends LinkState {
  readonly from: string
}

export interface LatencyMatrix {
  /** Rows and columns, in the order of the fleet's file. */
  readonly relays: readonly string[]
  readonly links: readonly MatrixLink[]
}

/** What the matrix needs of a relay. */
interface MatrixRelay {
  readonly name: string
  readonly state: string
  readonly last: { readonly name: string; readonly links: readonly LinkState[] } | undefined
}

export function latencyMatrix(all: readonly MatrixRelay[]): LatencyMatrix {
  const relays = all.slice(0, RELAYS_MAX)
  const nameOf = namesOf(relays)
  const links: MatrixLink[] = []
  for (const { name: from, state, last } of relays) {
    if (last === undefined || state === 'down') continue
    const seen = new Set<string>()
    for (const link of last.links) {
      const to = nameOf.get(link.to)
      if (to === undefined || to === from || seen.has(to)) continue
      seen.add(to)
      links.push({ from, ...link, to })
    }
  }
  return { relays: relays.map(({ name }) => name), links }
}

/**
 * Relays name a sibling as their file does, or by its host name where an option names it. A host name that several
 * relays share names none of them.
 */
function namesOf(relays: readonly MatrixRelay[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  const shared = new Set<string>()
  for (const { name, last } of relays) {
    const host = last?.name
    if (host === undefined) continue
    if (names.has(host)) shared.add(host)
    names.set(host, name)
  }
  for (const host of shared) names.delete(host)
  for (const { name } of relays) names.set(name, name)
  return names
}
