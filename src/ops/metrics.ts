// The metrics page of one relay: what its threads, its STUN server, its certificate and the process say at the
// moment of the scrape. Holds no numbers itself and keeps nothing up to date between scrapes. `docs/metrics.md`
// lists all that it exports.

import { Counters, HISTOGRAM_BOUNDS } from '#relay/counters.ts'
import type { RelayLimits } from '#relay/ports.ts'
import { admissionFamilies, type AdmissionNumbers } from './admission-families.ts'
import { acceptedFormat, EXPOSITION_CONTENT_TYPES, writeExposition } from './exposition.ts'
import { histogramSamples, sample, type MetricFamily, type Sample } from './metric-family.ts'
import type { CheckReport } from './health.ts'
import type { ProcessMetrics } from './process-metrics.ts'
import type { SiblingView } from './link-watch.ts'
import { relayFamilies } from './relay-families.ts'
import { siblingFamilies } from './sibling-families.ts'

/** What the STUN server has counted since the start. */
export interface StunNumbers {
  readonly successIpv4: number
  readonly successIpv6: number
  /** Datagrams that were no acceptable binding request. */
  readonly notStun: number
  readonly readErrors: number
  readonly writeErrors: number
}

/** The certificate in use. */
export interface CertificateLife {
  readonly hostname: string
  /** Unix time. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

interface RelayState {
  readonly isReady: boolean
  readonly checks: readonly CheckReport[]
}

/** Which relay it is, for whoever reads the metrics of many. */
export interface RelayInfo {
  readonly hostname: string
  /** Of the fleet; several for a standby, none without one. */
  readonly regions: readonly number[]
  readonly nodes: readonly string[]
}

interface BuildInfo {
  readonly version: string
  readonly nodeVersion: string
}

/** How long a thread's event loop has worked and waited since its start: `eventLoopUtilization()` of the thread. */
interface LoopTime {
  readonly activeMs: number
  readonly idleMs: number
}

export interface MetricSources {
  /** Undefined where anybody may use the relay. */
  readonly admission: () => AdmissionNumbers | undefined
  readonly siblings: () => readonly SiblingView[]
  /** Of the mesh besides siblings: the key directory, and files that are read again. */
  readonly mesh: () => readonly MetricFamily[]
  /** One per relay thread. */
  readonly threads: readonly Counters[]
  /** One per relay thread, in the same order. */
  readonly threadLoops: () => readonly LoopTime[]
  /** How often a thread has died in each place, in the same order. */
  readonly threadDeaths: () => readonly number[]
  /** Undefined when STUN is off. */
  readonly stun: () => StunNumbers | undefined
  /** How often the STUN thread has died; undefined when STUN is off. */
  readonly stunDeaths: () => number | undefined
  /** Undefined when there is none: plain TCP. */
  readonly certificate: () => CertificateLife | undefined
  readonly state: () => RelayState
  /** Lines of the log that could not be written. */
  readonly logLinesLost: () => number
  readonly build: BuildInfo
  readonly relay: () => RelayInfo
  readonly limits: RelayLimits
  readonly process: ProcessMetrics
}

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

  /** Everything exported, read now; without samples where there is nothing to tell. */
  async families(): Promise<MetricFamily[]> {
    const { threads, admission, siblings, mesh, stun, certificate, process } = this.#sources
    const processFamilies = await process.families()
    return [
      ...this.#stateFamilies(),
      ...relayFamilies(this.#total.sumOf(threads)),
      ...this.#threadFamilies(),
      ...admissionFamilies(admission()),
      ...siblingFamilies(siblings()),
      ...mesh(),
      ...stunFamilies(stun()),
      ...certificateFamilies(certificate()),
      ...limitFamilies(this.#sources.limits),
      ...processFamilies,
    ]
  }

  #stateFamilies(): MetricFamily[] {
    const { build, logLinesLost, relay, state, threads } = this.#sources
    const { hostname, regions, nodes } = relay()
    const { isReady, checks } = state()
    return [
      gauge('derp_build_info', 'Always 1; the labels tell what runs.', [
        sample(1, { version: build.version, node_version: build.nodeVersion }),
      ]),
      gauge('derp_relay_info', 'Always 1; the labels tell which relay it is.', [
        sample(1, { hostname, region: regions.join(','), node: nodes.join(','), version: build.version }),
      ]),
      gauge('derp_ready', '1 when clients may be sent here, as /readyz says.', [sample(Number(isReady))]),
      gauge(
        'derp_check_ok',
        '1 for each passing check of /readyz.',
        checks.map(({ name, isOk }) => sample(Number(isOk), { check: name })),
      ),
      gauge('derp_threads', 'Relay threads.', [sample(threads.length)]),
      counter('derp_log_lines_lost_total', 'Lines of the log that could not be written.', [
        sample(logLinesLost()),
      ]),
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
        help: 'How much later than it should a relay thread came to its timers, sixteen times a second.',
        samples: this.#sources.threads.flatMap((counters, thread) =>
          histogramSamples(HISTOGRAM_BOUNDS.loopLag, counters.histogram('loopLag'), {
            thread: String(thread),
          }),
        ),
      },
      counter(
        'derp_thread_active_seconds_total',
        "Time that a relay thread's event loop has worked; its rate is the share of a core in use.",
        seconds((loop) => loop.activeMs),
      ),
      counter(
        'derp_thread_idle_seconds_total',
        "Time that a relay thread's event loop has waited.",
        seconds((loop) => loop.idleMs),
      ),
      counter(
        'derp_thread_restarts_total',
        'Times that a thread died, by a fault of ours, and was replaced.',
        this.#deaths(),
      ),
    ]
  }

  #deaths(): Sample[] {
    const { stunDeaths, threadDeaths } = this.#sources
    const stun = stunDeaths()
    return [
      ...threadDeaths().map((deaths, thread) => sample(deaths, { thread: String(thread) })),
      ...(stun === undefined ? [] : [sample(stun, { thread: 'stun' })]),
    ]
  }
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples }
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'counter', help, samples }
}

/** The family is known for answered requests alone: what is refused is not looked into that far. */
function stunFamilies(stun: StunNumbers | undefined): MetricFamily[] {
  if (stun === undefined) return []
  const samples = [
    sample(stun.successIpv4, { result: 'success', family: 'ipv4' }),
    sample(stun.successIpv6, { result: 'success', family: 'ipv6' }),
    sample(stun.notStun, { result: 'not_stun', family: 'unknown' }),
    sample(stun.readErrors, { result: 'read_error', family: 'unknown' }),
    sample(stun.writeErrors, { result: 'write_error', family: 'unknown' }),
  ]
  return [counter('stun_requests_total', 'Datagrams on the STUN port, by what became of them.', samples)]
}

function certificateFamilies(certificate: CertificateLife | undefined): MetricFamily[] {
  if (certificate === undefined) return []
  const { hostname, notBeforeMs, notAfterMs } = certificate
  return [
    gauge('tls_certificate_not_before_timestamp_seconds', "Start of the certificate's life, Unix time.", [
      sample(notBeforeMs / 1_000, { hostname }),
    ]),
    gauge('tls_certificate_not_after_timestamp_seconds', "End of the certificate's life, Unix time.", [
      sample(notAfterMs / 1_000, { hostname }),
    ]),
  ]
}

function limitFamilies({ rate, ...limits }: RelayLimits): MetricFamily[] {
  return [
    gauge('derp_send_queue_limit_bytes', 'Bytes of data packets that may wait for one client.', [
      sample(limits.outboxBytesMax),
    ]),
    gauge('derp_send_queue_limit_packets', 'Packets of a kind that may wait for one client.', [
      sample(limits.outboxPacketsMax),
    ]),
    gauge('derp_write_timeout_seconds', 'How long a client may take no bytes; 0 is no limit.', [
      sample(limits.writeTimeoutMs / 1_000),
    ]),
    gauge('derp_accept_limit_per_second', 'New connections that are taken per second.', [
      sample(limits.acceptsPerSecond),
    ]),
    gauge('derp_accept_limit_burst', 'New connections that are taken at once.', [sample(limits.acceptBurst)]),
    gauge(
      'derp_rate_limit_bytes_per_second',
      'Receive limit per client; absent when there is none.',
      rate === undefined ? [] : [sample(rate.bytesPerSecond)],
    ),
    gauge(
      'derp_rate_limit_burst_bytes',
      'Burst of the receive limit per client; absent when there is none.',
      rate === undefined ? [] : [sample(rate.burstBytes)],
    ),
  ]
}
