// What the relay threads' plain counters are called in metrics: one row per metric, with the number behind each
// combination of labels. Every counter of `#relay/counters.ts` has its row here; every drop reason, packet kind and
// end reason is there from zero, so that a dashboard shows zeros rather than gaps.

import { HISTOGRAM_BOUNDS, type Counters, type HistogramName, type PlainCounter } from '#relay/counters.ts'
import {
  DROP_REASON_LABELS,
  DropReason,
  PACKET_KIND_LABELS,
  PacketKind,
  type DropReason as Reason,
} from '#relay/drop-reason.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { histogramSamples, sample, type MetricFamily, type Labels, type Sample } from './metric-family.ts'

/** A counter by name, or a number made of several. */
type Reading = PlainCounter | ((counters: Counters) => number)

interface Row {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly readings: readonly (readonly [labels: Labels, reading: Reading])[]
}

const alone = (reading: Reading): Row['readings'] => [[{}, reading]]

/** One label, and a reading for each of its values. */
const by = (label: string, readings: Readonly<Record<string, Reading>>): Row['readings'] =>
  Object.entries(readings).map(([value, reading]) => [{ [label]: value }, reading])

const counter = (name: string, help: string, readings: Row['readings']): Row => ({
  name,
  type: 'counter',
  help,
  readings,
})
const gauge = (name: string, help: string, readings: Row['readings']): Row => ({
  name,
  type: 'gauge',
  help,
  readings,
})

/** Home clients are counted apart from clients, so between two writes they may be one more. */
const otherClients = (counters: Counters): number =>
  Math.max(0, counters.get('clientsCurrent') - counters.get('clientsHome'))

const HANDSHAKE_FAILURES = {
  timeout: 'handshakesTimedOut',
  not_tls: 'handshakesNotTls',
  closed: 'handshakesLeft',
  protocol: 'handshakesBroken',
  crowded_out: 'handshakesCrowdedOut',
} as const

const failedHandshakes = (counters: Counters): number =>
  Object.values(HANDSHAKE_FAILURES).reduce((sum, name) => sum + counters.get(name), 0)

const CONNECTION_ROWS: readonly Row[] = [
  counter(
    'derp_connections_accepted_total',
    'Connections taken on the DERP port.',
    alone('connectionsAccepted'),
  ),
  counter(
    'derp_connections_rejected_total',
    'Connections closed at once because they exceeded the accept limit.',
    alone('connectionsRejected'),
  ),
  counter(
    'derp_connections_out_of_descriptors_total',
    'Connections closed at once because no file descriptor was left for them.',
    alone('connectionsOutOfDescriptors'),
  ),
  gauge('derp_sessions_current', 'DERP sessions, logged in or not.', alone('connectionsCurrent')),
  counter(
    'derp_websockets_accepted_total',
    'Connections that became WebSocket sessions.',
    alone('webSocketsAccepted'),
  ),
  counter(
    'derp_fast_starts_total',
    'Sessions whose client wanted no answer before the server key.',
    alone('fastStarts'),
  ),
  counter(
    'derp_handshake_failures_total',
    'Connections that ended before a session: in the TLS handshake, or without a usable HTTP head.',
    by('stage', { tls: failedHandshakes, http: 'headsRefused' }),
  ),
  counter(
    'tls_handshake_failures_total',
    'TLS handshakes that failed, by why.',
    by('reason', HANDSHAKE_FAILURES),
  ),
  counter(
    'tls_useless_record_disconnects_total',
    'TLS connections ended because their records brought no data.',
    alone('tlsUseless'),
  ),
  counter(
    'derp_wire_bytes_total',
    'Bytes of DERP frames, headers included.',
    by('direction', { in: 'wireBytesIn', out: 'wireBytesOut' }),
  ),
  counter(
    'tls_handshakes_total',
    'Completed TLS handshakes.',
    by('version', { '1.2': 'handshakesTls12', '1.3': 'handshakesTls13' }),
  ),
  gauge(
    'tls_connections_current',
    'TLS connections open now.',
    by('version', { '1.2': 'tlsCurrent12', '1.3': 'tlsCurrent13' }),
  ),
]

const CLIENT_ROWS: readonly Row[] = [
  counter('derp_logins_total', 'Sessions that proved a key and were admitted.', alone('loginsTotal')),
  gauge(
    'derp_clients_current',
    'Sessions logged in, by whether this relay is their home.',
    by('kind', { home: 'clientsHome', other: otherClients }),
  ),
  gauge(
    'derp_clients_not_ideal_current',
    "Clients that are not on the first node of the region's list.",
    alone('clientsNotIdeal'),
  ),
  gauge('derp_clients_websocket_current', 'Clients connected by WebSocket.', alone('clientsWebSocket')),
  gauge('derp_clients_prober_current', 'Clients that call themselves probers.', alone('clientsProber')),
  gauge('derp_watchers_current', 'Sibling sessions subscribed to presence.', alone('watchersCurrent')),
  gauge('derp_keys_current', "Distinct node keys connected; siblings' own are none.", alone('keysCurrent')),
  gauge(
    'derp_keys_at_siblings',
    'Distinct node keys that siblings have and this relay has not.',
    alone('keysAway'),
  ),
  gauge(
    'derp_duplicate_keys_current',
    'Node keys with more than one session; usually a copied machine.',
    alone('duplicateKeys'),
  ),
  gauge(
    'derp_duplicate_sessions_current',
    'Sessions of keys that have more than one.',
    alone('duplicateSessions'),
  ),
  counter(
    'derp_duplicate_logins_total',
    'Logins with a key that had a session already.',
    alone('duplicatesTotal'),
  ),
  counter(
    'derp_home_moves_total',
    'Clients that made this relay their home, or ceased to, later than at login.',
    by('direction', { in: 'homeMovesIn', out: 'homeMovesOut' }),
  ),
  counter(
    'derp_admission_total',
    'Admission decisions.',
    by('result', {
      allowed: 'admissionsAllowed',
      denied: 'admissionsDenied',
      unreachable: 'admissionsUnreachable',
      failed_open: 'admissionsFailedOpen',
    }),
  ),
]

const PACKET_ROWS: readonly Row[] = [
  counter(
    'derp_received_packets_total',
    'Packets received from clients.',
    by('kind', { data: 'receivedData', disco: 'receivedDisco' }),
  ),
  counter(
    'derp_received_bytes_total',
    'Bytes of packets received from clients, without frame headers and keys.',
    by('kind', { data: 'receivedBytesData', disco: 'receivedBytesDisco' }),
  ),
  counter(
    'derp_sent_packets_total',
    'Packets handed to the system for their destinations.',
    by('kind', { data: 'sentData', disco: 'sentDisco' }),
  ),
  counter(
    'derp_sent_bytes_total',
    'Bytes of packets handed to the system for their destinations, without frame headers and keys.',
    by('kind', { data: 'sentBytesData', disco: 'sentBytesDisco' }),
  ),
  counter(
    'derp_mesh_forwarded_packets_total',
    'Packets that siblings handed over for delivery here, and that were handed to siblings.',
    by('direction', { in: 'forwardedIn', out: 'forwardedOut' }),
  ),
  counter(
    'derp_mesh_forwarded_bytes_total',
    'Bytes of packets handed to siblings, without frame headers and keys.',
    by('direction', { out: 'forwardedOutBytes' }),
  ),
  counter(
    'derp_lookups_total',
    'Keys that the key directory was asked for while a packet waited.',
    by('result', { found: 'lookupsFound', failed: 'lookupsFailed' }),
  ),
  counter(
    'derp_thread_forwarded_packets_total',
    'Packets that went from one thread of this relay to another, as counted on each side.',
    by('direction', { in: 'crossedIn', out: 'crossedOut' }),
  ),
  gauge('derp_send_queue_packets', 'Packets waiting to be sent.', alone('queuedPackets')),
  gauge('derp_send_queue_bytes', 'Bytes of the frames of packets waiting to be sent.', alone('queuedBytes')),
  gauge(
    'derp_waiting_bytes',
    'Memory in use for all that waits: packets to be sent, halves of frames, input held back.',
    alone('waitingBytes'),
  ),
]

const CONTROL_ROWS: readonly Row[] = [
  counter('derp_pings_received_total', 'Ping frames from clients.', alone('pingsReceived')),
  counter('derp_pongs_sent_total', 'Pong frames; fewer than pings when pings pile up.', alone('pongsSent')),
  counter('derp_keep_alives_sent_total', 'Keep-alive frames.', alone('keepAlivesSent')),
  counter(
    'derp_peer_gone_sent_total',
    'Frames that told a client or a sibling that a peer left, or was never here.',
    by('reason', { disconnected: 'peerGoneDisconnected', not_here: 'peerGoneNotHere' }),
  ),
  counter('derp_unknown_frames_total', 'Frames skipped because of an unknown type.', alone('unknownFrames')),
  counter(
    'derp_rate_limit_waits_total',
    'Times that reading from a client paused because it exceeded the rate limit.',
    alone('rateLimitWaits'),
  ),
  counter(
    'derp_write_stalls_total',
    'Sessions ended because the remote took no bytes for the write time limit.',
    alone('writeStalls'),
  ),
  counter(
    'derp_thread_sweeps_total',
    'Times that relay threads came to their timers; one that stands still hangs.',
    alone('sweeps'),
  ),
]

const ROWS = [...CONNECTION_ROWS, ...CLIENT_ROWS, ...PACKET_ROWS, ...CONTROL_ROWS]

/** All but the loops' lag, which is each thread's own. */
const HISTOGRAMS: Readonly<
  Record<Exclude<HistogramName, 'loopLag'>, { readonly name: string; readonly help: string }>
> = {
  queueDelay: {
    name: 'derp_send_queue_delay_seconds',
    help: 'How long the oldest packet of each write had waited.',
  },
  login: { name: 'derp_login_seconds', help: 'From the start of a session to its admission.' },
  admission: {
    name: 'derp_admission_seconds',
    help: 'From asking for admission to the decision, waiting included.',
  },
}

/** All metrics of the relay threads. `counters` is the sum of all threads. */
export function relayFamilies(counters: Counters): MetricFamily[] {
  return [
    ...ROWS.map((row) => read(row, counters)),
    {
      name: 'derp_dropped_packets_total',
      type: 'counter',
      help: 'Packets deliberately not delivered.',
      samples: dropSamples((reason, kind) => counters.droppedPackets(reason, kind)),
    },
    {
      name: 'derp_dropped_bytes_total',
      type: 'counter',
      help: 'Bytes of packets deliberately not delivered.',
      samples: dropSamples((reason, kind) => counters.droppedBytes(reason, kind)),
    },
    {
      name: 'derp_sessions_ended_total',
      type: 'counter',
      help: 'DERP sessions that ended, by reason.',
      samples: END_REASONS.map((reason) => sample(counters.ended(reason), { reason })),
    },
    ...(Object.keys(HISTOGRAMS) as (keyof typeof HISTOGRAMS)[]).map((name) => histogram(name, counters)),
  ]
}

function read({ name, type, help, readings }: Row, counters: Counters): MetricFamily {
  const samples = readings.map(([labels, reading]) =>
    sample(typeof reading === 'string' ? counters.get(reading) : reading(counters), labels),
  )
  return { name, type, help, samples }
}

function dropSamples(count: (reason: Reason, kind: PacketKind) => number): Sample[] {
  return Object.values(DropReason).flatMap((reason) =>
    Object.values(PacketKind).map((kind) =>
      sample(count(reason, kind), { reason: DROP_REASON_LABELS[reason], kind: PACKET_KIND_LABELS[kind] }),
    ),
  )
}

function histogram(name: keyof typeof HISTOGRAMS, counters: Counters): MetricFamily {
  const samples = histogramSamples(HISTOGRAM_BOUNDS[name], counters.histogram(name))
  return { ...HISTOGRAMS[name], type: 'histogram', samples }
}
