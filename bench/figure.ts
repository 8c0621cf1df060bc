// What a figure of the comparison is: a name, the work that measures it, and rows of samples by server. Figures are
// data to those who store, print and draw them; how one is measured is in bench/figures/.

import type { Bench } from './bench.ts'
import type { Sample } from './sample.ts'

/** What is to be reached, and whether it was; undefined where it could not be told. */
export interface Target {
  readonly text: string
  readonly isHeld: boolean | undefined
}

export interface Row {
  readonly label: string
  readonly unit: string
  /** Digits behind the point in tables. */
  readonly digits: number
  /** By server name; a server that can't be measured is left out. */
  readonly samples: Readonly<Record<string, Sample>>
  readonly target?: Target
}

/** A series for a plot: points by server. */
export interface Series {
  readonly name: string
  readonly points: Readonly<Record<string, readonly (readonly [number, number])[]>>
}

export interface FigureResult {
  readonly title: string
  readonly rows: readonly Row[]
  /** What a reader must know of how it was measured, in sentences. */
  readonly notes: readonly string[]
  /** Generator command lines, the last of each kind. */
  readonly commands: readonly string[]
  /** What made a point doubtful: a generator at its limit, frames that were not right. */
  readonly marks: readonly string[]
  /** Rounds that were measured again because the machine's host had taken the processors away. */
  readonly repeats: number
  readonly series?: readonly Series[]
  readonly seconds: number
}

export interface Figure {
  readonly name: string
  readonly title: string
  /** Not part of a run of all figures: to be asked for by name. */
  readonly isSeparate?: boolean
  measure(bench: Bench): Promise<Omit<FigureResult, 'title' | 'seconds' | 'commands' | 'marks' | 'repeats'>>
}
