// Makes the rows of a figure out of measured rounds, and compares them with their targets.

import type { Row, Target } from './figure.ts'
import { sampleOf, type Sample } from './sample.ts'
import { DERPFLEET } from './server.ts'

/** The label, the unit and the decimal places of a row. */
export interface Shown {
  readonly label: string
  readonly unit: string
  readonly digits: number
}

/** A row with one number of every round. */
export function rowOf<Measured>(
  shown: Shown,
  measured: ReadonlyMap<{ readonly name: string }, readonly Measured[]>,
  of: (measured: Measured) => number,
): Row {
  const samples: Record<string, Sample> = {}
  for (const [{ name }, rounds] of measured) samples[name] = sampleOf(rounds.map(of))
  return { ...shown, samples }
}

/** A row of this checkout's relay alone. */
export function ownRow(shown: Shown, rounds: readonly number[]): Row {
  return { ...shown, samples: { [DERPFLEET]: sampleOf(rounds) } }
}

/** A bound on the ratio of this checkout's median to the median of another server. */
export interface Bound {
  readonly server: string
  readonly atLeast?: number
  readonly atMost?: number
}

/** The row with a target: all bounds have to hold. */
export function withBounds(row: Row, ...bounds: readonly Bound[]): Row {
  const texts = bounds.map(({ server, atLeast, atMost }) => {
    return atLeast === undefined ? `≤ ${atMost} × ${server}` : `≥ ${atLeast} × ${server}`
  })
  const results = bounds.map((bound) => holds(row, bound))
  const isHeld = results.includes(undefined) ? undefined : results.every((held) => held === true)
  return { ...row, target: { text: texts.join(', '), isHeld } }
}

/** The row with a target for the median of this checkout's relay. */
export function withOwnTarget(row: Row, text: string, isReached: (median: number) => boolean): Row {
  const median = row.samples[DERPFLEET]?.median
  const target: Target = {
    text,
    isHeld: median === undefined || Number.isNaN(median) ? undefined : isReached(median),
  }
  return { ...row, target }
}

function holds(row: Row, { server, atLeast, atMost }: Bound): boolean | undefined {
  const ours = row.samples[DERPFLEET]?.median
  const theirs = row.samples[server]?.median
  if (ours === undefined || theirs === undefined || Number.isNaN(ours) || Number.isNaN(theirs))
    return undefined
  return atLeast === undefined ? ours <= (atMost ?? Infinity) * theirs : ours >= atLeast * theirs
}
