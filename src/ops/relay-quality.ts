// What a relay measures of itself, its links and its clients, as one value for pages and for siblings, and as the metric
// families of its load. Numbers only; units end the names. What follows from which number is in docs/metrics.md.

import type { ClientNumbers } from './client-quality.ts'
import type { SiblingView } from './link-watch.ts'
import { sample, type MetricFamily, type Sample } from './metric-family.ts'
import type { HeadroomNumbers } from './thread-headroom.ts'
import type { ThroughputNumbers } from './traffic-meter.ts'

export interface RelayQuality {
  readonly siblings: readonly SiblingView[]
  readonly clients: ClientNumbers
  /** Whether countries are known now. */
  readonly hasCountries: boolean
  readonly throughput: ThroughputNumbers
  /** Of the relay's threads; undefined until there was a load to judge by. */
  readonly threads: HeadroomNumbers | undefined
  /** Undefined: the operator does not say. */
  readonly capacityBits: number | undefined
}

/** The numbers of one link to a sibling, for the fleet state. Undefined: not measured yet. */
export interface LinkNumbers {
  readonly sibling: string
  readonly isUp: boolean
  readonly rttMinMs: number | undefined
  readonly rttMedianMs: number | undefined
  readonly jitterMs: number
  readonly lossRatio: number
  readonly queueDelayMs: number
}

/** Headroom by what limits it, 0 to 1; undefined: not known. */
export interface Headroom {
  readonly threads: number | undefined
  readonly capacity: number | undefined
  /** The smallest that is known. */
  readonly least: number | undefined
}

const BITS_PER_BYTE = 8

/** The links of this relay, by sibling. */
export function linkNumbers(siblings: readonly SiblingView[]): readonly LinkNumbers[] {
  return siblings.map(({ name, isUp, rttMinMs, rttMedianMs, jitterMs, lossRatio, delayMs }) => ({
    sibling: name,
    isUp,
    rttMinMs,
    rttMedianMs,
    jitterMs,
    lossRatio,
    queueDelayMs: delayMs,
  }))
}

export function headroomOf({ threads, capacityBits, throughput }: RelayQuality): Headroom {
  const carriedBits = throughput.bytesPerSecond * BITS_PER_BYTE
  const capacity = capacityBits === undefined ? undefined : Math.max(0, 1 - carriedBits / capacityBits)
  const known = [threads?.ratio, capacity].filter((ratio) => ratio !== undefined)
  return {
    threads: threads?.ratio,
    capacity,
    least: known.length === 0 ? undefined : Math.min(...known),
  }
}

/** The value as JSON: what is not known is null. */
export function qualityJson(quality: RelayQuality): string {
  const value = {
    links: linkNumbers(quality.siblings),
    clients: quality.clients,
    hasCountries: quality.hasCountries,
    throughput: quality.throughput,
    headroom: { ...headroomOf(quality), threadLoad: quality.threads },
  }
  return `${JSON.stringify(value, (_, part: unknown) => (part === undefined ? null : part))}\n`
}

export function qualityFamilies(quality: RelayQuality): MetricFamily[] {
  const { throughput } = quality
  const { threads, capacity } = headroomOf(quality)
  const limits: readonly (readonly [limit: string, ratio: number | undefined])[] = [
    ['threads', threads],
    ['capacity', capacity],
  ]
  return [
    gauge('derp_countries_known', '1 if countries of clients are looked up, and the table is loaded.', [
      sample(Number(quality.hasCountries)),
    ]),
    gauge('derp_throughput_bytes_per_second', 'Bytes of packets sent, mean of the last ten seconds.', [
      sample(throughput.bytesPerSecond),
    ]),
    gauge('derp_throughput_packets_per_second', 'Packets sent, mean of the last ten seconds.', [
      sample(throughput.packetsPerSecond),
    ]),
    gauge(
      'derp_throughput_peak_bytes_per_second',
      'Highest mean of ten seconds within the last hour, of bytes.',
      [sample(throughput.peakBytesPerSecond)],
    ),
    gauge(
      'derp_throughput_peak_packets_per_second',
      'Highest mean of ten seconds within the last hour, of packets.',
      [sample(throughput.peakPacketsPerSecond)],
    ),
    gauge(
      'derp_headroom_ratio',
      'Share that the present load leaves of what the busiest thread, or the capacity, can carry.',
      limits.flatMap(([limit, ratio]) => (ratio === undefined ? [] : [sample(ratio, { limit })])),
    ),
    gauge(
      'derp_thread_packets_max_per_second',
      'Estimate of the packets per second that the busiest thread can carry, of the present kind.',
      quality.threads === undefined ? [] : [sample(quality.threads.packetsMaxPerSecond)],
    ),
  ]
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples }
}
