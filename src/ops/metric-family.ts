// A metric family at the moment of a scrape: name, type, help, and samples with labels. Plain data, which `exposition.ts`
// writes; nothing here counts. Names are those of Prometheus's text format, where a counter's name ends in `_total`.

import type { HistogramSnapshot } from '#relay/counters.ts'

export type Labels = Readonly<Record<string, string>>

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'untyped'

export interface Sample {
  /** In a histogram, the suffix of the family's name; else empty. */
  readonly suffix: '' | '_bucket' | '_sum' | '_count'
  readonly labels: Labels
  readonly value: number
}

export interface MetricFamily {
  readonly name: string
  readonly type: MetricType
  /** One or two sentences. If empty, no HELP line is written. */
  readonly help: string
  readonly samples: readonly Sample[]
}

/** A sample without a suffix. */
export function sample(value: number, labels: Labels = {}): Sample {
  return { suffix: '', labels, value }
}

/** The samples of a histogram: cumulative buckets with `+Inf` last, then sum and count. */
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
