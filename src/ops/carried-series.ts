// The counters of metric families that earlier runs of this relay have counted, and that no relay thread holds: of siblings,
// the key directory, admission's queue, certificates, the drain and the log. Each is known by the name and the labels of its
// series, so that two versions of this program understand each other. Runs on the control thread.
//
// Contract: bounded, whatever labels there are. A series that this run does not have, or not yet, is not shown; one that the
// earlier run did not have begins at zero.

import type { CounterSnapshot } from '#relay/counters.ts'
import type { MetricFamily, Sample } from './metric-family.ts'

/** A fleet of several hundred siblings, three series each. Further series begin at zero in the next run. */
const NAMES_CHARS_MAX = 100_000

export class CarriedSeries {
  #values: CounterSnapshot = {}

  /** The counters among these families, by name. */
  static snapshot(families: readonly MetricFamily[]): CounterSnapshot {
    const values: Record<string, number> = {}
    let chars = 0
    for (const family of families) {
      if (family.type !== 'counter') continue
      for (const sample of family.samples) {
        const name = nameOf(family, sample)
        if (sample.value === 0) continue
        chars += name.length
        if (chars > NAMES_CHARS_MAX) return values
        values[name] = sample.value
      }
    }
    return values
  }

  /** Of the run before this one. What else is in the snapshot is not read. */
  restore(snapshot: CounterSnapshot): void {
    this.#values = snapshot
  }

  /** The families, with what earlier runs have counted added to counters. */
  addTo(families: readonly MetricFamily[]): MetricFamily[] {
    return families.map((family) =>
      family.type === 'counter'
        ? { ...family, samples: family.samples.map((sample) => this.#sum(family, sample)) }
        : family,
    )
  }

  #sum(family: MetricFamily, sample: Sample): Sample {
    const earlier = this.#values[nameOf(family, sample)]
    return earlier === undefined ? sample : { ...sample, value: sample.value + Math.max(0, earlier) }
  }
}

function nameOf({ name }: MetricFamily, { labels }: Sample): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return `series ${name} ${JSON.stringify(sorted)}`
}
