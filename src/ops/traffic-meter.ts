// What a relay carries now and has carried within the last minutes: from its counters, read once a second and kept for ten
// minutes. All that a relay says of its load comes from here: the metrics of throughput, what it tells the fleet, and what
// people see. Peaks are kept for an hour. Runs on the control thread.

import { HISTOGRAM_BOUNDS, type Counters } from '#relay/counters.ts'
import type { LoopTime } from './metrics.ts'
import {
  clientCounts,
  ratesBetween,
  trafficCounts,
  type FlowRates,
  type TrafficCounts,
} from './traffic-counts.ts'

/** To look more often would show bursts that no link has to carry for long; less often, a curve without them. */
export const LOOK_MS = 1_000
/** Of the looks that a rate is the mean of. A rate over less time shows bursts. */
const RATE_LOOKS = 10
const MINUTE_LOOKS = 60
/** Ten minutes. */
const LOOKS_MAX = 600
/** Points of a curve: as many as a small chart can show. */
const POINTS_MAX = 60
/** Peaks of single minutes, for an hour. */
const PEAK_MINUTES = 60
const MINUTE_MS = 60_000

export interface TrafficMeterThreads {
  readonly counters: readonly Counters[]
  readLoopTimes(): readonly LoopTime[]
}

interface Look extends TrafficCounts {
  readonly atMs: number
  readonly clientCount: number
  readonly loops: readonly LoopTime[]
}

/** What leaves the relay, to clients and to siblings, mean of ten seconds. */
export interface ThroughputNumbers {
  readonly packetsPerSecond: number
  readonly bytesPerSecond: number
  /** The highest within the last hour. */
  readonly peakPacketsPerSecond: number
  readonly peakBytesPerSecond: number
}

/** What a relay tells the fleet of its load. Whole numbers; rates are of its clients, and not there before the second look. */
export interface ClientLoad extends Partial<FlowRates> {
  readonly clients: number
  readonly homeClients: number
  readonly peakPacketsPerSecond: number
  readonly peakBytesPerSecond: number
  /** The share of its time that the busiest relay thread works. */
  readonly busiestThreadShare?: number
}

/** A point of the curve. */
export interface LoadPoint {
  readonly clients: number
  /** In and out. */
  readonly bytesPerSecond: number
}

/** Of clients and siblings, mean of ten seconds. */
export interface LoadNumbers extends FlowRates {
  readonly clients: number
  readonly homeClients: number
  /** Of the last minute; undefined if no packet came. */
  readonly dropRatio: number | undefined
  /** The 99th percentile of the last minute; undefined if none was sent. */
  readonly queueP99Ms: number | undefined
  /** The last ten minutes, oldest first. */
  readonly curve: readonly LoadPoint[]
}

interface Peak {
  readonly packets: number
  readonly bytes: number
}
const NONE: Peak = { packets: 0, bytes: 0 }

export class TrafficMeter {
  readonly #threads: TrafficMeterThreads
  /** Oldest first. */
  readonly #looks: Look[] = []
  readonly #minutes: Peak[] = [NONE]
  #minuteFromMs = -Infinity

  constructor(threads: TrafficMeterThreads) {
    this.#threads = threads
  }

  /** To be called every LOOK_MS. @param nowMs monotonic */
  look(nowMs: number): void {
    const { counters } = this.#threads
    this.#looks.push({
      ...trafficCounts(counters),
      atMs: nowMs,
      clientCount: clientCounts(counters).clients,
      loops: this.#threads.readLoopTimes(),
    })
    if (this.#looks.length > LOOKS_MAX + 1) this.#looks.shift()
    // The first looks after the start are means of less than the window.
    if (this.#looks.length > RATE_LOOKS) this.#notePeak(nowMs)
  }

  throughput(): ThroughputNumbers {
    const { packetsOutPerSecond, bytesOutPerSecond } = this.#rates('all')
    const peak = (read: (minute: Peak) => number): number => Math.max(...this.#minutes.map(read))
    return {
      packetsPerSecond: packetsOutPerSecond,
      bytesPerSecond: bytesOutPerSecond,
      peakPacketsPerSecond: peak(({ packets }) => packets),
      peakBytesPerSecond: peak(({ bytes }) => bytes),
    }
  }

  /** What this relay tells the fleet. */
  clientLoad(): ClientLoad {
    const { peakPacketsPerSecond, peakBytesPerSecond } = this.throughput()
    const load = {
      ...clientCounts(this.#threads.counters),
      peakPacketsPerSecond: Math.round(peakPacketsPerSecond),
      peakBytesPerSecond: Math.round(peakBytesPerSecond),
    }
    const [from, to] = [this.#before(RATE_LOOKS), this.#looks.at(-1)]
    if (from === undefined || to === undefined || from === to) return load
    const rates = this.#rates('clients')
    return {
      ...load,
      packetsInPerSecond: Math.round(rates.packetsInPerSecond),
      bytesInPerSecond: Math.round(rates.bytesInPerSecond),
      packetsOutPerSecond: Math.round(rates.packetsOutPerSecond),
      bytesOutPerSecond: Math.round(rates.bytesOutPerSecond),
      busiestThreadShare: busiestShare(from.loops, to.loops),
    }
  }

  /** For people who look at the relay. */
  recent(): LoadNumbers {
    const last = this.#looks.at(-1)
    const minute = last && this.#before(MINUTE_LOOKS)
    return {
      ...clientCounts(this.#threads.counters),
      ...this.#rates('all'),
      dropRatio: minute && ratioOf(last.dropped - minute.dropped, last.all.packetsIn - minute.all.packetsIn),
      queueP99Ms: minute && p99Ms(last.waits.map((count, at) => count - (minute.waits[at] ?? 0))),
      curve: this.#curve,
    }
  }

  /** The look so many looks ago, or the oldest. */
  #before(looks: number): Look | undefined {
    return this.#looks[Math.max(0, this.#looks.length - 1 - looks)]
  }

  #rates(of: 'clients' | 'all'): FlowRates {
    const to = this.#looks.at(-1) ?? { ...trafficCounts([]), atMs: 0 }
    const from = this.#before(RATE_LOOKS) ?? to
    return ratesBetween(from[of], to[of], to.atMs - from.atMs)
  }

  get #curve(): readonly LoadPoint[] {
    const step = Math.ceil(LOOKS_MAX / POINTS_MAX)
    const points: LoadPoint[] = []
    for (let at = this.#looks.length - 1; at >= step; at -= step) {
      const [from, to] = [this.#looks[at - step], this.#looks[at]]
      if (from === undefined || to === undefined) break
      const { bytesInPerSecond, bytesOutPerSecond } = ratesBetween(from.all, to.all, to.atMs - from.atMs)
      points.unshift({ clients: to.clientCount, bytesPerSecond: bytesInPerSecond + bytesOutPerSecond })
    }
    return points
  }

  #notePeak(nowMs: number): void {
    if (nowMs - this.#minuteFromMs >= MINUTE_MS) {
      this.#minuteFromMs = nowMs
      this.#minutes.push(NONE)
      if (this.#minutes.length > PEAK_MINUTES) this.#minutes.shift()
    }
    const last = this.#minutes.pop() ?? NONE
    const { packetsOutPerSecond, bytesOutPerSecond } = this.#rates('all')
    this.#minutes.push({
      packets: Math.max(last.packets, packetsOutPerSecond),
      bytes: Math.max(last.bytes, bytesOutPerSecond),
    })
  }
}

/** To three decimals: more is noise, and makes messages longer. */
function busiestShare(before: readonly LoopTime[], after: readonly LoopTime[]): number {
  const shares = after.map(({ activeMs, idleMs }, at) => {
    const active = activeMs - (before[at]?.activeMs ?? 0)
    const all = active + idleMs - (before[at]?.idleMs ?? 0)
    return ratioOf(active, all) ?? 0
  })
  return Math.round(Math.max(0, ...shares) * 1_000) / 1_000
}

function ratioOf(part: number, all: number): number | undefined {
  return all <= 0 ? undefined : Math.min(1, Math.max(0, part / all))
}

/** Within a bucket, waits are taken for evenly spread. Beyond the last bound it is the least that is certain. */
function p99Ms(counts: readonly number[]): number | undefined {
  const bounds: readonly number[] = HISTOGRAM_BOUNDS.queueDelay
  const all = counts.reduce((sum, count) => sum + Math.max(0, count), 0)
  if (all === 0) return undefined
  let left = 0.99 * all
  for (const [at, count] of counts.entries()) {
    const lower = bounds[at - 1] ?? 0
    if (count >= left) return 1_000 * (lower + ((bounds[at] ?? lower) - lower) * (left / count))
    left -= Math.max(0, count)
  }
  return 1_000 * (bounds.at(-1) ?? 0)
}
