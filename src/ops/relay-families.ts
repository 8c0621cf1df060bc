// The metric families of the relay threads' counters: one row per metric, with the counter behind each combination of
// labels. Every counter of `#relay/counters.ts` has a row. Every drop reason, packet kind and end reason is exported from
// the start at zero, so that dashboards show zeros and not gaps.

import { HISTOGRAM_BOUNDS, type Counters, type HistogramName } from '#relay/counters.ts'
import {
  DROP_REASON_LABELS,
  DropReason,
  PACKET_KIND_LABELS,
  PacketKind,
  type DropReason as Reason,
} from '#relay/drop-reason.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { by, counter, gauge, plain, type Row } from './counter-row.ts'
import { histogramSamples, sample, type MetricFamily, type Sample } from './metric-family.ts'

/** Clients and home clients are separate counters, so between two writes there may be one home client more. */
const otherClients = (counters: Counters): number =>
  Math.max(0, counters.get('clientsCurrent') - counters.get('clientsHome'))

const HANDSHAKE_FAILURES = {
  timeout: 'handshakesTimedOut',
  not_tls: 'handshakesNotTls',
  closed: 'handshakesLeft',
  protocol: 'handshakesBroken',
  crowded_out: 'handshakesCrowdedOut',
  no_certificate: 'handshakesUncertified',
} as const

const failedHandshakes = (counters: Counters): number =>
  Object.values(HANDSHAKE_FAILURES).reduce((sum, name) => sum + counters.get(name), 0)

const DRAIN_ROWS: readonly Row[] = [
  counter(
    'derp_drain_clients_total',
    'Clients that a drain of this relay has ended, by outcome.',
    by('outcome', { moved: 'drainMoved', forced: 'drainForced', left: 'drainLeft' }),
  ),
  counter(
    'derp_drain_packets_held_total',
    'Packets held for clients that had left a draining relay, this one or a sibling.',
    plain('handOffHeld'),
  ),
  counter(
    'derp_drain_packets_handed_on_total',
    'Packets of those that were sent to where the client came back.',
    plain('handOffSent'),
  ),
]

const CONNECTION_ROWS: readonly Row[] = [
  counter(
    'derp_connections_accepted_total',
    'Connections accepted on the DERP port.',
    plain('connectionsAccepted'),
  ),
  counter(
    'derp_connections_rejected_total',
    'Connections closed at once because of the accept limit.',
    plain('connectionsRejected'),
  ),
  counter(
    'derp_address_refusals_total',
    'Connections and logins refused because of their address, by reason.',
    by('reason', {
      connections: 'addressRefusedConnections',
      logins: 'addressRefusedLogins',
      banned: 'addressRefusedBanned',
    }),
  ),
  counter(
    'derp_address_bans_total',
    'Addresses refused for a while because they went on beyond a rate, by that rate. Each thread counts those that it found.',
    by('reason', { connections: 'addressBansConnections', logins: 'addressBansLogins' }),
  ),
  gauge(
    'derp_addresses_banned',
    'Addresses that are refused now because they went on beyond a rate.',
    plain('addressesBanned'),
  ),
  counter(
    'derp_connections_out_of_descriptors_total',
    'Connections closed at once because no file descriptor was left for them.',
    plain('connectionsOutOfDescriptors'),
  ),
  counter(
    'derp_connections_out_of_memory_total',
    'Connections closed at once because the process had too little memory for more clients.',
    plain('connectionsOutOfMemory'),
  ),
  gauge('derp_sessions_current', 'Open DERP sessions, logged in or not.', plain('connectionsCurrent')),
  counter('derp_websockets_accepted_total', 'DERP sessions over WebSocket.', plain('webSocketsAccepted')),
  counter(
    'derp_fast_starts_total',
    'DERP sessions with fast start, in which the relay sends no HTTP answer before its key.',
    plain('fastStarts'),
  ),
  counter(
    'derp_handshake_failures_total',
    'Connections that ended before a session: during the TLS handshake (tls), or without a valid HTTP head (http).',
    by('stage', { tls: failedHandshakes, http: 'headsRefused' }),
  ),
  counter(
    'tls_handshake_failures_total',
    'Failed TLS handshakes, by reason.',
    by('reason', HANDSHAKE_FAILURES),
  ),
  counter(
    'tls_useless_record_disconnects_total',
    'TLS connections closed because their records carried no data.',
    plain('tlsUseless'),
  ),
  counter(
    'derp_wire_bytes_total',
    'Bytes of DERP frames received and sent, headers included.',
    by('direction', { in: 'wireBytesIn', out: 'wireBytesOut' }),
  ),
  counter(
    'tls_handshakes_total',
    'Completed TLS handshakes.',
    by('version', { '1.2': 'handshakesTls12', '1.3': 'handshakesTls13' }),
  ),
  gauge(
    'tls_connections_current',
    'Open TLS connections.',
    by('version', { '1.2': 'tlsCurrent12', '1.3': 'tlsCurrent13' }),
  ),
]

const CLIENT_ROWS: readonly Row[] = [
  counter(
    'derp_logins_total',
    'Sessions that logged in: their client proved its key and was admitted.',
    plain('loginsTotal'),
  ),
  gauge(
    'derp_clients_current',
    'Logged-in sessions: of clients whose home relay this is (home), and all other.',
    by('kind', { home: 'clientsHome', other: otherClients }),
  ),
  gauge(
    'derp_clients_not_ideal_current',
    "Clients that are not on the first node of their region's list.",
    plain('clientsNotIdeal'),
  ),
  gauge('derp_clients_websocket_current', 'Logged-in sessions over WebSocket.', plain('clientsWebSocket')),
  gauge(
    'derp_clients_prober_current',
    'Logged-in sessions that identify as probers.',
    plain('clientsProber'),
  ),
  gauge('derp_sibling_sessions_current', 'Logged-in sessions of siblings.', plain('siblingsCurrent')),
  gauge('derp_watchers_current', 'Sibling sessions subscribed to presence.', plain('watchersCurrent')),
  gauge(
    'derp_keys_current',
    "Distinct node keys connected to this relay, without siblings' own keys.",
    plain('keysCurrent'),
  ),
  gauge(
    'derp_keys_at_siblings',
    'Distinct node keys that are connected to siblings and not to this relay.',
    plain('keysAtSiblings'),
  ),
  gauge(
    'derp_duplicate_keys_current',
    'Node keys with more than one session. The usual cause is a copied machine.',
    plain('duplicateKeys'),
  ),
  gauge(
    'derp_duplicate_sessions_current',
    'Sessions of node keys with more than one session.',
    plain('duplicateSessions'),
  ),
  counter(
    'derp_duplicate_logins_total',
    'Logins with a node key that already had a session.',
    plain('duplicatesTotal'),
  ),
  counter(
    'derp_duplicate_keys_told_total',
    'Times that clients with one node key were told of each other; each relay thread that has some of them counts.',
    plain('duplicatesTold'),
  ),
  counter(
    'derp_home_moves_total',
    'Clients that made this relay their home after their login (in), or ceased to (out).',
    by('direction', { in: 'homeMovesIn', out: 'homeMovesOut' }),
  ),
  counter(
    'derp_admission_total',
    'Admission decisions, by result.',
    by('result', {
      allowed: 'admissionsAllowed',
      memory: 'admissionsFromMemory',
      denied: 'admissionsDenied',
      denied_by_operator: 'admissionsByOperator',
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
    'Packets sent to clients, counted when they are handed to the operating system.',
    by('kind', { data: 'sentData', disco: 'sentDisco' }),
  ),
  counter(
    'derp_sent_bytes_total',
    'Bytes of packets sent to clients, without frame headers and keys.',
    by('kind', { data: 'sentBytesData', disco: 'sentBytesDisco' }),
  ),
  counter(
    'derp_mesh_forwarded_packets_total',
    'Packets received from siblings for clients here (in), and forwarded to siblings (out).',
    by('direction', { in: 'forwardedIn', out: 'forwardedOut' }),
  ),
  counter(
    'derp_mesh_forwarded_bytes_total',
    'Bytes of packets forwarded to siblings, without frame headers and keys.',
    by('direction', { out: 'forwardedOutBytes' }),
  ),
  counter(
    'derp_lookups_total',
    'Key directory lookups for which a packet waited, by result.',
    by('result', { found: 'lookupsFound', failed: 'lookupsFailed' }),
  ),
  counter(
    'derp_thread_forwarded_packets_total',
    'Packets forwarded from one relay thread (out) to another (in), counted on each side.',
    by('direction', { in: 'receivedFromThreads', out: 'sentToThreads' }),
  ),
  gauge(
    'derp_send_queue_packets',
    'Packets in send queues (to clients and siblings), and packets waiting for a key lookup.',
    plain('queuedPackets'),
  ),
  gauge(
    'derp_send_queue_bytes',
    'Bytes of the frames of these packets: in send queues, and waiting for a key lookup.',
    plain('queuedBytes'),
  ),
  gauge(
    'derp_waiting_bytes',
    'Memory in use for waiting data: send queues, incomplete frames, and paused input.',
    plain('waitingBytes'),
  ),
]

const CONTROL_ROWS: readonly Row[] = [
  counter('derp_pings_received_total', 'Ping frames received from clients.', plain('pingsReceived')),
  counter(
    'derp_pongs_sent_total',
    'Pong frames sent. Several waiting pings get one pong.',
    plain('pongsSent'),
  ),
  counter('derp_keep_alives_sent_total', 'Keep-alive frames sent.', plain('keepAlivesSent')),
  counter(
    'derp_peer_gone_sent_total',
    'PeerGone frames sent: a peer has left (disconnected), or is not connected here (not_here).',
    by('reason', { disconnected: 'peerGoneDisconnected', not_here: 'peerGoneNotHere' }),
  ),
  counter(
    'derp_unknown_frames_total',
    'Frames skipped because their type is unknown.',
    plain('unknownFrames'),
  ),
  counter(
    'derp_relay_states_refused_total',
    'States of siblings that were not read because they came too often.',
    plain('relayStatesRefused'),
  ),
  counter(
    'derp_close_peers_refused_total',
    'ClosePeer frames without effect, because kicks are not taken from the sibling.',
    plain('closePeersRefused'),
  ),
  counter(
    'derp_rate_limit_waits_total',
    'Pauses in reading from a client that exceeded the rate limit.',
    plain('rateLimitWaits'),
  ),
  counter(
    'derp_write_stalls_total',
    'Sessions ended because the remote accepted no bytes within the write timeout.',
    plain('writeStalls'),
  ),
  counter(
    'derp_write_turns_total',
    'Turns of the event loops of relay threads at whose end packets were written. Packets per turn show batching.',
    plain('writeTurns'),
  ),
  counter(
    'derp_thread_sweeps_total',
    'Timer sweeps run by relay threads. A flat line means that a thread hangs.',
    plain('sweeps'),
  ),
]

const ROWS = [...CONNECTION_ROWS, ...CLIENT_ROWS, ...PACKET_ROWS, ...CONTROL_ROWS, ...DRAIN_ROWS]

/** All histograms but the event loop lag, which is exported per thread. */
const HISTOGRAMS: Readonly<
  Record<Exclude<HistogramName, 'loopLag'>, { readonly name: string; readonly help: string }>
> = {
  queueDelay: {
    name: 'derp_send_queue_delay_seconds',
    help: 'Time that the oldest packet of each write had waited in the send queue.',
  },
  login: { name: 'derp_login_seconds', help: 'Time from the start of a session to its admission.' },
  admission: {
    name: 'derp_admission_seconds',
    help: 'Time from the admission question to the decision, including the wait in the queue.',
  },
  roundTrip: {
    name: 'derp_client_round_trip_seconds',
    help: 'Smallest TCP round trips of clients in five minutes, each read about once a minute. Empty without native calls.',
  },
}

/** All metrics of the relay threads. @param counters the sum over all threads */
export function relayFamilies(counters: Counters): MetricFamily[] {
  return [
    ...ROWS.map((row) => read(row, counters)),
    {
      name: 'derp_dropped_packets_total',
      type: 'counter',
      help: 'Packets dropped, by reason.',
      samples: dropSamples((reason, kind) => counters.droppedPackets(reason, kind)),
    },
    {
      name: 'derp_dropped_bytes_total',
      type: 'counter',
      help: 'Bytes of packets dropped, by reason.',
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
