// A metric as it is read at one moment: a name, what it means, and its numbers with their labels. Plain data that
// `exposition.ts` writes; nothing here counts. Names are those of the Prometheus text format, in which a counter
// ends in `_total`.

import type { HistogramSnapshot } from '#relay/counters.ts'

export type Labels = Readonly<Record<string, string>>

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'untyped'

export interface Sample {
  /** What follows the family's name in a histogram; empty elsewhere. */
  readonly suffix: '' | '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

export interface MetricFamily {
  readonly name: string
  readonly type: MetricType
  /** One sentence; empty writes none. */
  readonly help: string
  readonly samples: readonly Sample[]
}

/** A number with its labels. */
export function sample(value: number, labels: Labels = {}): Sample {
  return { suffix: '', labels, value }
}

/** The samples of a histogram: cumulative buckets, the one without a bound last, then sum and count. */
export function histogramSamples(
  bounds: readonly number[],
  { counts, sum }: HistogramSnapshot,
  labels: Labels = {},
): Sample[] {
  const samples: Sample[] = []
  let count = 0
  for (const [at, inBucket] of counts.entries()) {
    count += inBucket
    const bound = bounds[at]
    const le = bound === undefined ? '+Inf' : String(bound)
    samples.push({ suffix: '_bucket', labels: { ...labels, le }, value: count })
  }
  samples.push({ suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: count })
  return samples
}
