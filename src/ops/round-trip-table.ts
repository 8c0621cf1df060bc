// Round trips of clients by one label, such as the country: a histogram since the start for Prometheus, with few buckets, and
// a fine one of the last whole minute, in which each client stands about once, for the median. Plain numbers; who the clients
// are is not known here. Runs on the control thread.
//
// Contract: bounded. A label beyond the limit counts as `other`.

import type { HistogramSnapshot } from '#relay/counters.ts'
import { histogramSamples, type Sample } from './metric-family.ts'

/** Counts what has no label of its own. */
export const OTHER = 'other'

/** Near, same continent, next continent, other side of the world. Each bound costs a series for each of 250 countries. */
export const ROUND_TRIP_BOUNDS: readonly number[] = [0.025, 0.05, 0.1, 0.2]

/** Fine buckets: from a tenth of a millisecond to ten seconds, each five percent wide, so a median is exact to about two. */
const FINE_FROM_SECONDS = 0.0001
const FINE_STEP = Math.log(1.05)
const FINE_COUNT = 237

/** What clients of one label measure. */
export interface LabelledRoundTrips {
  readonly label: string
  /** Round trips in the last whole minute: about the number of clients. */
  readonly clients: number
  readonly medianMs: number
}

interface Entry {
  /** Since the start, by ROUND_TRIP_BOUNDS. */
  readonly counts: number[]
  sum: number
  /** Fine buckets of the present minute, and of the last whole one. */
  present: Uint32Array
  last: Uint32Array
}

export class RoundTripTable {
  readonly #byLabel = new Map<string, Entry>()
  readonly #labelsMax: number
  #hasWholeMinute = false

  /** @param labelsMax beside `other` */
  constructor(labelsMax: number) {
    this.#labelsMax = labelsMax
  }

  observe(label: string, seconds: number): void {
    const entry = this.#entry(label)
    const bucket = ROUND_TRIP_BOUNDS.findIndex((bound) => seconds <= bound)
    const at = bucket < 0 ? ROUND_TRIP_BOUNDS.length : bucket
    entry.counts[at] = (entry.counts[at] ?? 0) + 1
    entry.sum += seconds
    const fine = fineBucket(seconds)
    entry.present[fine] = (entry.present[fine] ?? 0) + 1
  }

  /** A minute is over. */
  endMinute(): void {
    this.#hasWholeMinute = true
    for (const entry of this.#byLabel.values()) {
      const { last } = entry
      entry.last = entry.present
      entry.present = last.fill(0)
    }
  }

  /** The histograms since the start, as samples of one family. */
  samples(name: string): Sample[] {
    return [...this.#byLabel].flatMap(([label, { counts, sum }]) => {
      const snapshot: HistogramSnapshot = { counts, sum }
      return histogramSamples(ROUND_TRIP_BOUNDS, snapshot, { [name]: label })
    })
  }

  /** Of labels that have clients; most clients first. */
  numbers(): readonly LabelledRoundTrips[] {
    const all = [...this.#byLabel].map(([label, entry]) => {
      const window = this.#hasWholeMinute ? entry.last : entry.present
      const clients = window.reduce((sum, count) => sum + count, 0)
      return { label, clients, medianMs: clients === 0 ? 0 : medianMs(window, clients) }
    })
    return all.filter(({ clients }) => clients > 0).sort((a, b) => b.clients - a.clients)
  }

  #entry(wanted: string): Entry {
    const known = this.#byLabel.get(wanted)
    if (known !== undefined) return known
    if (wanted !== OTHER && this.#byLabel.size - Number(this.#byLabel.has(OTHER)) >= this.#labelsMax) {
      return this.#entry(OTHER)
    }
    const entry: Entry = {
      counts: ROUND_TRIP_BOUNDS.map(() => 0).concat(0),
      sum: 0,
      present: new Uint32Array(FINE_COUNT),
      last: new Uint32Array(FINE_COUNT),
    }
    this.#byLabel.set(wanted, entry)
    return entry
  }
}

function fineBucket(seconds: number): number {
  const bucket = Math.floor(Math.log(seconds / FINE_FROM_SECONDS) / FINE_STEP)
  return Math.min(FINE_COUNT - 1, Math.max(0, bucket))
}

/** Round trips are taken to be spread evenly within a bucket. */
function medianMs(window: Uint32Array, total: number): number {
  let below = 0
  for (const [bucket, count] of window.entries()) {
    if (below + count >= total / 2 && count > 0) {
      const share = (total / 2 - below) / count
      return 1_000 * FINE_FROM_SECONDS * Math.exp((bucket + share) * FINE_STEP)
    }
    below += count
  }
  return 0
}
