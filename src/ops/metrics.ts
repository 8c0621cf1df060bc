// The metrics page of one relay, made at each scrape from its threads, its STUN server, its certificates and the process.
// It holds no numbers itself and updates nothing between scrapes. `docs/metrics.md` lists every metric. Runs on the
// control thread.

import { Counters, HISTOGRAM_BOUNDS } from '#relay/counters.ts'
import type { RelayLimits } from '#relay/ports.ts'
import { admissionFamilies, type AdmissionNumbers } from './admission-families.ts'
import type { CarriedSeries } from './carried-series.ts'
import { certificateFamilies, type CertificateStatus } from './certificate-families.ts'
import { acceptedFormat, EXPOSITION_CONTENT_TYPES, writeExposition } from './exposition.ts'
import { histogramSamples, sample, type MetricFamily, type Sample } from './metric-family.ts'
import type { CheckReport } from './health.ts'
import type { ProcessMetrics } from './process-metrics.ts'
import type { SiblingView } from './link-watch.ts'
import { stateFolderFamilies } from './state-folder-families.ts'
import { laneFamilies, type LaneFigures } from './lane-families.ts'
import { nativeFamilies, type NativeWays } from './native-families.ts'
import { relayFamilies } from './relay-families.ts'
import { siblingFamilies } from './sibling-families.ts'

/** The counters of the STUN server since the start. */
export interface StunNumbers {
  readonly successIpv4: number
  readonly successIpv6: number
  /** Datagrams that were not an acceptable binding request. */
  readonly notStun: number
  readonly readErrors: number
  readonly writeErrors: number
}

interface RelayState {
  readonly isReady: boolean
  readonly checks: readonly CheckReport[]
}

/** The identity of the relay, for readers of many relays' metrics. */
export interface RelayInfo {
  readonly hostname: string
  /** The relay's regions in the fleet: several for a standby, none without a fleet. */
  readonly regions: readonly number[]
  readonly nodes: readonly string[]
}

interface BuildInfo {
  readonly version: string
  readonly nodeVersion: string
}

/** The time that a thread's event loop has been active and idle since its start: the thread's `eventLoopUtilization()`. */
export interface LoopTime {
  readonly activeMs: number
  readonly idleMs: number
}

export interface MetricSources {
  /** Undefined for an open relay. */
  readonly admission: () => AdmissionNumbers | undefined
  readonly siblings: () => readonly SiblingView[]
  /** The families of the key directory, of files that are read again, of the drain, and of denied commands. */
  readonly mesh: () => readonly MetricFamily[]
  /** One per relay thread. */
  readonly threads: readonly Counters[]
  /** What belongs to no thread that runs: the counts of earlier runs of this relay. */
  readonly otherCounters: readonly Counters[]
  /** The same, of numbers that no thread counts. */
  readonly carried: CarriedSeries
  /** The number of this run of the relay. */
  readonly run: number
  /** One per relay thread, in the same order. */
  readonly threadLoops: () => readonly LoopTime[]
  /** The deaths of each relay thread and its predecessors, in the same order. */
  readonly threadDeaths: () => readonly number[]
  /** The families of what the relay measures of itself and its clients. */
  readonly quality: () => readonly MetricFamily[]
  /** Undefined if STUN is off. */
  readonly stun: () => StunNumbers | undefined
  /** The deaths of the STUN thread; undefined if STUN is off. */
  readonly stunDeaths: () => number | undefined
  /** Undefined without a lane. */
  readonly lane: () => LaneFigures | undefined
  /** The deaths of its thread. */
  readonly laneDeaths: () => number | undefined
  /** Undefined on plain TCP. */
  readonly certificates: () => CertificateStatus | undefined
  readonly state: () => RelayState
  readonly nativeWays: NativeWays
  /** Undefined for a relay that has no state folder. */
  readonly isStateFolderUsable: boolean | undefined
  /** Log lines that could not be written. */
  readonly logLinesLost: () => number
  readonly build: BuildInfo
  readonly relay: () => RelayInfo
  readonly limits: RelayLimits
  readonly process: ProcessMetrics
}

export type ContinuedSources = Pick<
  MetricSources,
  'admission' | 'carried' | 'certificates' | 'logLinesLost' | 'mesh' | 'quality' | 'siblings'
>

export class Metrics {
  readonly #sources: MetricSources
  readonly #total = new Counters()

  constructor(sources: MetricSources) {
    this.#sources = sources
  }

  /** The page in the format that the `Accept` header prefers. */
  async page(accept: string | undefined): Promise<{ readonly contentType: string; readonly text: string }> {
    const format = acceptedFormat(accept)
    const text = writeExposition(await this.families(), format)
    return { contentType: EXPOSITION_CONTENT_TYPES[format], text }
  }

  /** All families, read now. A family has no samples if its feature is off. */
  async families(): Promise<MetricFamily[]> {
    const { threads, otherCounters, stun, lane, process } = this.#sources
    const processFamilies = await process.families()
    return [
      ...this.#stateFamilies(),
      ...nativeFamilies(this.#sources.nativeWays),
      ...stateFolderFamilies(this.#sources.isStateFolderUsable),
      ...relayFamilies(this.#total.sumOf([...threads, ...otherCounters])),
      ...this.#threadFamilies(),
      ...continuedFamilies(this.#sources),
      ...stunFamilies(stun()),
      ...laneFamilies(lane()),
      ...limitFamilies(this.#sources.limits),
      ...processFamilies,
    ]
  }

  #stateFamilies(): MetricFamily[] {
    const { build, relay, run, state, threads } = this.#sources
    const { hostname, regions, nodes } = relay()
    const { isReady, checks } = state()
    return [
      gauge('derp_build_info', 'Always 1. The labels name the versions of derpfleet and Node.js.', [
        sample(1, { version: build.version, node_version: build.nodeVersion }),
      ]),
      gauge('derp_relay_info', 'Always 1. The labels identify the relay.', [
        sample(1, { hostname, region: regions.join(','), node: nodes.join(','), version: build.version }),
      ]),
      gauge('derp_ready', '1 if this relay is ready for clients, as /readyz reports.', [
        sample(Number(isReady)),
      ]),
      gauge(
        'derp_check_ok',
        '1 if this check of /readyz passes, else 0.',
        checks.map(({ name, isOk }) => sample(Number(isOk), { check: name })),
      ),
      gauge('derp_run', 'Number of this run of the relay: one more for each upgrade in place.', [
        sample(run),
      ]),
      gauge('derp_threads', 'Number of relay threads.', [sample(threads.length)]),
    ]
  }

  #threadFamilies(): MetricFamily[] {
    const loops = this.#sources.threadLoops()
    const seconds = (read: (loop: LoopTime) => number): Sample[] =>
      loops.map((loop, thread) => sample(read(loop) / 1_000, { thread: String(thread) }))
    return [
      {
        name: 'derp_thread_loop_lag_seconds',
        type: 'histogram',
        help: 'Delay of a timer that each relay thread runs sixteen times a second.',
        samples: this.#sources.threads.flatMap((counters, thread) =>
          histogramSamples(HISTOGRAM_BOUNDS.loopLag, counters.histogram('loopLag'), {
            thread: String(thread),
          }),
        ),
      },
      counter(
        'derp_thread_active_seconds_total',
        "Time that the relay thread's event loop was active. Its rate is the share of one core in use.",
        seconds((loop) => loop.activeMs),
      ),
      counter(
        'derp_thread_idle_seconds_total',
        "Time that the relay thread's event loop was idle.",
        seconds((loop) => loop.idleMs),
      ),
      counter(
        'derp_thread_restarts_total',
        'Restarts of a thread after it died or hung because of a bug in derpfleet.',
        this.#deaths(),
      ),
    ]
  }

  #deaths(): Sample[] {
    const { laneDeaths, stunDeaths, threadDeaths } = this.#sources
    const [stun, lane] = [stunDeaths(), laneDeaths()]
    return [
      ...threadDeaths().map((deaths, thread) => sample(deaths, { thread: String(thread) })),
      ...(stun === undefined ? [] : [sample(stun, { thread: 'stun' })]),
      ...(lane === undefined ? [] : [sample(lane, { thread: 'lane' })]),
    ]
  }
}

/** The families whose counters go on when a later run of this relay takes over, beside those of the relay threads and STUN. */
export function continuedFamilies(sources: ContinuedSources): MetricFamily[] {
  const { admission, carried, certificates, logLinesLost, mesh, quality, siblings } = sources
  return carried.addTo([
    counter('derp_log_lines_lost_total', 'Log lines that could not be written.', [sample(logLinesLost())]),
    ...admissionFamilies(admission()),
    ...siblingFamilies(siblings()),
    ...mesh(),
    ...quality(),
    ...certificateFamilies(certificates()),
  ])
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples }
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'counter', help, samples }
}

/** The address family is known only for answered requests; a refused datagram is not parsed that far. */
function stunFamilies(stun: StunNumbers | undefined): MetricFamily[] {
  if (stun === undefined) return []
  const samples = [
    sample(stun.successIpv4, { result: 'success', family: 'ipv4' }),
    sample(stun.successIpv6, { result: 'success', family: 'ipv6' }),
    sample(stun.notStun, { result: 'not_stun', family: 'unknown' }),
    sample(stun.readErrors, { result: 'read_error', family: 'unknown' }),
    sample(stun.writeErrors, { result: 'write_error', family: 'unknown' }),
  ]
  return [counter('stun_requests_total', 'Datagrams on the STUN port, by result.', samples)]
}

function limitFamilies({ rate, budgets, ...limits }: RelayLimits): MetricFamily[] {
  return [
    gauge('derp_send_queue_limit_bytes', 'Limit of bytes of data packets in the queue for one client.', [
      sample(limits.outboxBytesMax),
    ]),
    gauge('derp_send_queue_limit_packets', 'Limit of packets of one kind in the queue for one client.', [
      sample(limits.outboxPacketsMax),
    ]),
    gauge('derp_waiting_limit_bytes', 'Limit of memory in use for waiting data, derp_waiting_bytes.', [
      sample(limits.waitingBytesMax),
    ]),
    gauge(
      'derp_memory_bound_bytes',
      'Resident memory beyond which new connections are refused. Absent without a bound.',
      Number.isFinite(limits.memoryBytesMax) ? [sample(limits.memoryBytesMax)] : [],
    ),
    gauge(
      'derp_write_timeout_seconds',
      'Time after which a client that accepts no bytes is disconnected; 0 means no limit.',
      [sample(limits.writeTimeoutMs / 1_000)],
    ),
    gauge('derp_accept_limit_per_second', 'Limit of new connections per second.', [
      sample(limits.acceptsPerSecond),
    ]),
    gauge('derp_accept_limit_burst', 'Limit of new connections at once.', [sample(limits.acceptBurst)]),
    gauge(
      'derp_rate_limit_bytes_per_second',
      'Receive rate limit of each client. Absent without a limit.',
      rate === undefined ? [] : [sample(rate.bytesPerSecond)],
    ),
    gauge(
      'derp_rate_limit_burst_bytes',
      'Burst of the receive rate limit of each client. Absent without a limit.',
      rate === undefined ? [] : [sample(rate.burstBytes)],
    ),
    gauge(
      'derp_month_limit_bytes',
      'Bytes that may be sent in a month. Absent without a limit.',
      Number.isFinite(limits.month.bytesMax) ? [sample(limits.month.bytesMax)] : [],
    ),
    gauge(
      'derp_budget_bytes_per_second',
      'What each connection, each key of which admission says nothing else, and all clients together may send. Absent without a limit.',
      budgetSamples(budgets, 'bytesPerSecond'),
    ),
    gauge(
      'derp_budget_packets_per_second',
      'The same in packets. Absent without a limit.',
      budgetSamples(budgets, 'packetsPerSecond'),
    ),
  ]
}

function budgetSamples(
  budgets: RelayLimits['budgets'],
  unit: 'bytesPerSecond' | 'packetsPerSecond',
): Sample[] {
  const all = (['connection', 'key', 'relay'] as const).map((of) => sample(budgets[of][unit], { of }))
  return all.filter(({ value }) => Number.isFinite(value))
}
