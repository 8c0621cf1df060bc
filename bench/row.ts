// Rows of figures out of what was measured, and whether what they show is what was to be reached.

import type { Row, Target } from './figure.ts'
import { sampleOf, type Sample } from './sample.ts'
import { OURS } from './server.ts'

/** How a row is shown. */
export interface Shown {
  readonly label: string
  readonly unit: string
  readonly digits: number
}

/** One number of every round, as a row. */
export function rowOf<Measured>(
  shown: Shown,
  measured: ReadonlyMap<{ readonly name: string }, readonly Measured[]>,
  of: (measured: Measured) => number,
): Row {
  const samples: Record<string, Sample> = {}
  for (const [{ name }, rounds] of measured) samples[name] = sampleOf(rounds.map(of))
  return { ...shown, samples }
}

/** Rounds of something that was measured of this checkout alone. */
export function ownRow(shown: Shown, rounds: readonly number[]): Row {
  return { ...shown, samples: { [OURS]: sampleOf(rounds) } }
}

/** A bound on the ratio of this checkout's median to another server's. */
export interface Bound {
  readonly than: string
  readonly atLeast?: number
  readonly atMost?: number
}

/** The row with a target that all these bounds make up. */
export function withBounds(row: Row, ...bounds: readonly Bound[]): Row {
  const texts = bounds.map(({ than, atLeast, atMost }) => {
    return atLeast === undefined ? `≤ ${atMost} × ${than}` : `≥ ${atLeast} × ${than}`
  })
  const verdicts = bounds.map((bound) => verdict(row, bound))
  const isHeld = verdicts.includes(undefined) ? undefined : verdicts.every((held) => held === true)
  return { ...row, target: { text: texts.join(', '), isHeld } }
}

/** The row with a target that is about this checkout's own median. */
export function withOwnTarget(row: Row, text: string, isReached: (median: number) => boolean): Row {
  const median = row.samples[OURS]?.median
  const target: Target = {
    text,
    isHeld: median === undefined || Number.isNaN(median) ? undefined : isReached(median),
  }
  return { ...row, target }
}

function verdict(row: Row, { than, atLeast, atMost }: Bound): boolean | undefined {
  const ours = row.samples[OURS]?.median
  const theirs = row.samples[than]?.median
  if (ours === undefined || theirs === undefined || Number.isNaN(ours) || Number.isNaN(theirs))
    return undefined
  return atLeast === undefined ? ours <= (atMost ?? Infinity) * theirs : ours >= atLeast * theirs
}
