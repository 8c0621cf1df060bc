// A figure of the comparison: a name, the function that measures it, and its result, which is rows of samples by
// server. The result is data for the code that stores, prints and draws it; how a figure is measured is in
// bench/figures/.

import type { Bench } from './bench.ts'
import type { Sample } from './sample.ts'

/** A goal for a row, and whether it was reached; undefined if a number is missing. */
export interface Target {
  readonly text: string
  readonly isHeld: boolean | undefined
}

export interface Row {
  readonly label: string
  readonly unit: string
  /** Decimal places in tables. */
  readonly digits: number
  /** By server name, without the servers that cannot be measured. */
  readonly samples: Readonly<Record<string, Sample>>
  readonly target?: Target
}

/** Points of a plot, by server. */
export interface Series {
  readonly name: string
  readonly points: Readonly<Record<string, readonly (readonly [number, number])[]>>
}

export interface FigureResult {
  readonly title: string
  readonly rows: readonly Row[]
  /** How it was measured, as far as a reader has to know it; whole sentences. */
  readonly notes: readonly string[]
  /** Command lines of the generator, the last one of each kind. */
  readonly commands: readonly string[]
  /** Reasons to doubt the figure, for example a generator at its limit or wrong frames. */
  readonly marks: readonly string[]
  /** Rounds that were repeated because the machine's host took processor time. */
  readonly repeats: number
  readonly series?: readonly Series[]
  readonly seconds: number
}

export interface Figure {
  readonly name: string
  readonly title: string
  /** Measured only if --figure names it. */
  readonly isSeparate?: boolean
  measure(bench: Bench): Promise<Omit<FigureResult, 'title' | 'seconds' | 'commands' | 'marks' | 'repeats'>>
}
