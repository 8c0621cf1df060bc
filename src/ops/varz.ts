// The metrics under derper's names, as on derper's `/debug/varz`, so that dashboards and alerts made for derper keep
// working. A derper name without a counterpart in this relay is left out. Text format 0.0.4. As in derper, names have no
// `_total`, few have HELP, and some have no TYPE.

import { Counters, HISTOGRAM_BOUNDS, type PlainCounter } from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PacketKind, type DropReason as Reason } from '#relay/drop-reason.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import type { RelayLimits } from '#relay/ports.ts'
import { EXPOSITION_CONTENT_TYPES, writeExposition } from './exposition.ts'
import { sample, type MetricFamily, type MetricType, type Sample } from './metric-family.ts'
import type { MetricSources, StunNumbers } from './metrics.ts'

/** derper calls every packet that is not disco `other`. */
const KIND_LABELS = { [PacketKind.disco]: 'disco', [PacketKind.data]: 'other' } as const

/** derper's drop reasons, in derper's order. The last has no counterpart here and stays zero. */
const DERPER_REASONS = [
  'unknown_dest',
  'unknown_dest_on_fwd',
  'gone_disconnected',
  'queue_head',
  'queue_tail',
  'write_error',
  'dup_client',
] as const
type DerperReason = (typeof DERPER_REASONS)[number]

/** Maps each of this relay's drop reasons to derper's. */
const COUNTS_AS: Readonly<Record<(typeof DROP_REASON_LABELS)[number], DerperReason>> = {
  unknown_dest: 'unknown_dest',
  unknown_dest_on_fwd: 'unknown_dest_on_fwd',
  gone_disconnected: 'gone_disconnected',
  queue_head: 'queue_head',
  // As with queue_head, the packet is taken from the head of a slow client's queue.
  queue_age: 'queue_head',
  // The newest packet, refused because a queue is full.
  queue_thread: 'queue_tail',
  memory: 'queue_head',
  // Occurs only for packets from siblings, and is the sibling's fault.
  source_invalid: 'unknown_dest_on_fwd',
  queue_sibling: 'queue_head',
  sibling_lost: 'write_error',
  lookup_queue: 'queue_tail',
  lookup_timeout: 'unknown_dest',
  hand_off_queue: 'queue_tail',
  hand_off_timeout: 'gone_disconnected',
  // As for derper's client, the destination is not there.
  tenant: 'unknown_dest',
  over_share: 'queue_head',
  over_month: 'queue_head',
}

const COUNTERS: Readonly<Record<string, PlainCounter>> = {
  derp_got_ping: 'pingsReceived',
  derp_home_moves_in: 'homeMovesIn',
  derp_home_moves_out: 'homeMovesOut',
  derp_packets_forwarded_in: 'forwardedIn',
  derp_packets_forwarded_out: 'forwardedOut',
  derp_peer_gone_disconnected_frames: 'peerGoneDisconnected',
  derp_peer_gone_not_here_frames: 'peerGoneNotHere',
  derp_sclient_write_timeouts: 'writeStalls',
  derp_sent_pong: 'pongsSent',
  derp_total_dup_client_conns: 'duplicatesTotal',
  derp_unknown_frames: 'unknownFrames',
  derp_websocket_accepts: 'webSocketsAccepted',
}

const GAUGES: Readonly<Record<string, PlainCounter>> = {
  derp_clients_local: 'keysCurrent',
  derp_current_connections: 'clientsCurrent',
  derp_current_dup_client_conns: 'duplicateSessions',
  derp_current_dup_client_keys: 'duplicateKeys',
  derp_current_home_connections: 'clientsHome',
  derp_current_notideal_connections: 'clientsNotIdeal',
  derp_watchers: 'watchersCurrent',
}

export class Varz {
  readonly #sources: MetricSources
  readonly #total = new Counters()
  #acceptsMax = 0
  #delay = { sum: 0, count: 0, meanMs: 0 }

  constructor(sources: MetricSources) {
    this.#sources = sources
  }

  async page(): Promise<{ readonly contentType: string; readonly text: string }> {
    const text = writeExposition(await this.families(), 'classic')
    return { contentType: EXPOSITION_CONTENT_TYPES.classic, text }
  }

  /** The process's own metrics, then derper's names in order. */
  async families(): Promise<MetricFamily[]> {
    const { threads, otherCounters, limits, stun } = this.#sources
    const process = (await this.#sources.process.families()).filter(({ name }) => name.startsWith('process_'))
    const total = this.#total.sumOf([...threads, ...otherCounters])
    const named = [
      ...this.#statefulFamilies(total),
      ...Object.entries(COUNTERS).map(([name, from]) => one(name, 'counter', total.get(from))),
      ...Object.entries(GAUGES).map(([name, from]) => one(name, 'gauge', total.get(from))),
      ...packetFamilies(total),
      ...meshFamilies(total),
      ...tlsFamilies(total, this.#sources.certificates() !== undefined),
      roundTripFamily(total),
      ...rateFamilies(limits, total),
      ...stunFamilies(stun()),
      ...this.#processFamilies(process),
    ]
    return [...process, ...named.sort((a, b) => (a.name < b.name ? -1 : 1))]
  }

  #statefulFamilies(total: Counters): MetricFamily[] {
    return [
      one('derp_accepts', 'counter', this.#accepts(total)),
      one('derp_average_queue_duration_ms', 'untyped', this.#averageQueueMs(total)),
    ]
  }

  /**
   * Sessions started: ended plus open. The threads keep counting during the read, so the sum may be off by a few for a
   * moment. The maximum so far is reported, because a falling counter would look like a restart.
   */
  #accepts(total: Counters): number {
    const ended = END_REASONS.reduce((sum, reason) => sum + total.ended(reason), 0)
    this.#acceptsMax = Math.max(this.#acceptsMax, ended + total.get('connectionsCurrent'))
    return this.#acceptsMax
  }

  /** The mean since the last reading. derper's number is a moving average over single packets. */
  #averageQueueMs(total: Counters): number {
    const { counts, sum } = total.histogram('queueDelay')
    const count = counts.reduce((all, inBucket) => all + inBucket, 0)
    if (count > this.#delay.count) {
      const meanMs = ((sum - this.#delay.sum) * 1_000) / (count - this.#delay.count)
      this.#delay = { sum, count, meanMs }
    }
    return this.#delay.meanMs
  }

  #processFamilies(process: readonly MetricFamily[]): MetricFamily[] {
    const read = (name: string): number | undefined =>
      process.find((family) => family.name === name)?.samples[0]?.value
    const startedS = read('process_start_time_seconds') ?? 0
    const { version } = this.#sources.build
    return [
      one('derp_current_file_descriptors', 'gauge', read('process_open_fds') ?? 0),
      one('process_start_unix_time', 'untyped', startedS),
      one('uptime_sec', 'counter', Math.max(0, Math.floor(Date.now() / 1_000 - startedS))),
      family('version', 'untyped', [sample(1, { version, binary: 'derpfleet' })]),
    ]
  }
}

function family(name: string, type: MetricType, samples: readonly Sample[], help = ''): MetricFamily {
  return { name, type, help, samples }
}

function one(name: string, type: MetricType, value: number): MetricFamily {
  return family(name, type, [sample(value)])
}

function packetFamilies(total: Counters): MetricFamily[] {
  const disco = total.get('receivedDisco')
  const other = total.get('receivedData')
  return [
    one('derp_bytes_received', 'counter', total.get('receivedBytesData') + total.get('receivedBytesDisco')),
    one('derp_bytes_sent', 'counter', total.get('sentBytesData') + total.get('sentBytesDisco')),
    one('derp_packets_received', 'counter', disco + other),
    one('derp_packets_sent', 'counter', total.get('sentData') + total.get('sentDisco')),
    family('derp_packets_received_kind', 'counter', [
      sample(disco, { kind: 'disco' }),
      sample(other, { kind: 'other' }),
    ]),
    family(
      'derp_packets_dropped',
      'counter',
      dropSamples((reason, kind) => total.droppedPackets(reason, kind)),
      'DERP packets dropped by reason and by kind',
    ),
    family(
      'derp_bytes_dropped',
      'counter',
      dropSamples((reason, kind) => total.droppedBytes(reason, kind)),
      'DERP bytes dropped by reason and by kind',
    ),
  ]
}

/** Every combination of derper's reasons and kinds, from zero. */
function dropSamples(count: (reason: Reason, kind: PacketKind) => number): Sample[] {
  return DERPER_REASONS.flatMap((derperReason) =>
    [PacketKind.disco, PacketKind.data].map((kind) => {
      const reasons = Object.values(DropReason).filter(
        (reason) => COUNTS_AS[DROP_REASON_LABELS[reason]] === derperReason,
      )
      const value = reasons.reduce<number>((sum, reason) => sum + count(reason, kind), 0)
      return sample(value, { reason: derperReason, kind: KIND_LABELS[kind] })
    }),
  )
}

function meshFamilies(total: Counters): MetricFamily[] {
  return [
    one('derp_clients_remote', 'gauge', total.get('keysAtSiblings')),
    one('derp_clients_total', 'gauge', total.get('keysCurrent') + total.get('keysAtSiblings')),
  ]
}

/** derper exports the listener's counts only if it serves TLS. */
function tlsFamilies(total: Counters, isTls: boolean): MetricFamily[] {
  if (!isTls) return []
  return [
    family('derper_tls_active_version', 'gauge', [
      sample(total.get('tlsCurrent12'), { version: '1.2' }),
      sample(total.get('tlsCurrent13'), { version: '1.3' }),
    ]),
    one('tls_listener_accepted_connections', 'counter', total.get('connectionsAccepted')),
    one('tls_listener_rejected_connections', 'counter', total.get('connectionsRejected')),
  ]
}

/** derper's buckets, which are not cumulative although their label is `le`. derper reads each client every ten seconds. */
function roundTripFamily(total: Counters): MetricFamily {
  const { counts } = total.histogram('roundTrip')
  const bounds = [...HISTOGRAM_BOUNDS.roundTrip.map((seconds) => `${seconds * 1_000}ms`), 'inf']
  return family(
    'derp_tcp_rtt',
    'counter',
    bounds.map((le, bucket) => sample(counts[bucket] ?? 0, { le })),
  )
}

function rateFamilies({ rate }: RelayLimits, total: Counters): MetricFamily[] {
  if (rate === undefined) return []
  return [
    one('derp_rate_limit_per_client_burst_bytes', 'untyped', rate.burstBytes),
    one('derp_rate_limit_per_client_bytes_per_second', 'untyped', rate.bytesPerSecond),
    one('derp_rate_limit_per_client_waited', 'counter', total.get('rateLimitWaits')),
  ]
}

function stunFamilies(stun: StunNumbers | undefined): MetricFamily[] {
  if (stun === undefined) return []
  return [
    family('stun_addrfamily', 'counter', [
      sample(stun.successIpv4, { family: 'ipv4' }),
      sample(stun.successIpv6, { family: 'ipv6' }),
    ]),
    family('stun_requests', 'counter', [
      sample(stun.notStun, { disposition: 'not_stun' }),
      sample(stun.readErrors, { disposition: 'read_error' }),
      sample(stun.successIpv4 + stun.successIpv6, { disposition: 'success' }),
      sample(stun.writeErrors, { disposition: 'write_error' }),
    ]),
  ]
}
