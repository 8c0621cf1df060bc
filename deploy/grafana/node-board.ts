// The board of one relay: whether it is ready, what it carries, whom it refuses, and which reserves it has.

import { JOB, type Board } from './board.ts'
import { ACCESS_ROW, MESH_ROW, RESOURCES_ROW } from './node-rows.ts'
import { of, quantile, rate } from './expressions.ts'
import { heatmap, lines, stacked, stat, table, type Panel, type Step } from './panel.ts'

const GOOD_ONE: readonly Step[] = [
  [null, 'red'],
  [1, 'green'],
]

const STATE: readonly Panel[] = [
  stat(
    {
      title: 'Ready',
      description: '1 if the relay is ready for clients.',
      unit: 'short',
      alert: 'RelayNotReady',
    },
    of('derp_ready'),
    GOOD_ONE,
  ),
  stat(
    { title: 'Up since', description: 'Start of the process.', unit: 'dateTimeAsIso' },
    `${of('process_start_time_seconds')} * 1000`,
  ),
  stat(
    { title: 'Clients', description: 'Logged-in sessions.', unit: 'short' },
    `sum(${of('derp_clients_current')})`,
  ),
  stat(
    { title: 'Headroom', description: 'The least of its limits.', unit: 'percentunit', alert: 'HeadroomLow' },
    `min(${of('derp_headroom_ratio')})`,
    [
      [null, 'red'],
      [0.05, 'orange'],
      [0.2, 'green'],
    ],
  ),
  table(
    {
      title: 'Checks',
      description: 'The checks of /readyz. The page on signals and health says what to do for each.',
      unit: 'short',
      width: 8,
      alert: 'RelayNotReady',
    },
    { check: 'Check' },
    [{ title: 'Passes', expr: `max by (check) (${of('derp_check_ok')})`, thresholds: GOOD_ONE }],
  ),
]

const TRAFFIC: readonly Panel[] = [
  lines(
    {
      title: 'Traffic',
      description: 'Bits of packets from clients and to clients, and those forwarded to siblings.',
      unit: 'bps',
    },
    { expr: `sum(${rate('derp_received_bytes_total')}) * 8`, legend: 'received' },
    { expr: `sum(${rate('derp_sent_bytes_total')}) * 8`, legend: 'sent' },
    { expr: `sum(${rate('derp_mesh_forwarded_bytes_total')}) * 8`, legend: 'forwarded to siblings' },
  ),
  lines(
    {
      title: 'Packets',
      description: 'By kind: disco packets look for a direct path, data packets are all others.',
      unit: 'pps',
    },
    { expr: `sum by (kind) (${rate('derp_received_packets_total')})`, legend: 'received, {{kind}}' },
    { expr: `sum by (kind) (${rate('derp_sent_packets_total')})`, legend: 'sent, {{kind}}' },
    {
      expr: `sum by (direction) (${rate('derp_mesh_forwarded_packets_total')})`,
      legend: 'mesh, {{direction}}',
    },
    {
      expr: `sum(${rate('derp_thread_forwarded_packets_total', 'direction="out"')})`,
      legend: 'between threads',
    },
  ),
  heatmap(
    {
      title: 'Queue delay',
      description:
        'How long the oldest packet of each write had waited. Dark above 100 ms: clients read slowly, or the relay is full.',
      unit: 's',
      alert: 'QueueDelayHigh',
    },
    { expr: `sum by (le) (increase(${of('derp_send_queue_delay_seconds_bucket')}[$__rate_interval]))` },
  ),
  stacked(
    {
      title: 'Drops by reason',
      description: 'Packets dropped in a second. unknown_dest is no fault of the relay.',
      unit: 'pps',
      alert: 'DropRatioHigh',
    },
    { expr: `sum by (reason) (${rate('derp_dropped_packets_total')})`, legend: '{{reason}}' },
  ),
  lines(
    {
      title: 'Waiting data',
      description:
        'Bytes in send queues, and all memory in use for waiting data. Above half of the limit, packets are dropped.',
      unit: 'bytes',
      alert: 'DescriptorsOrMemory',
    },
    { expr: of('derp_send_queue_bytes'), legend: 'send queues' },
    { expr: of('derp_waiting_bytes'), legend: 'waiting data' },
    { expr: of('derp_waiting_limit_bytes'), legend: 'limit' },
  ),
  lines(
    {
      title: 'Packets per turn',
      description: 'Packets written per turn of the event loops: how well packets are batched.',
      unit: 'short',
    },
    {
      expr: `sum(${rate('derp_sent_packets_total')}) / sum(${rate('derp_write_turns_total')})`,
      legend: 'packets',
    },
  ),
]

const CLIENTS: readonly Panel[] = [
  stacked(
    {
      title: 'Sessions',
      description: 'Logged-in sessions of clients at home here, of others, and of siblings among these.',
      unit: 'short',
    },
    { expr: `sum by (kind) (${of('derp_clients_current')})`, legend: '{{kind}}' },
  ),
  lines(
    {
      title: 'Connections',
      description: 'Accepted, rejected and failed, in a second.',
      unit: 'cps',
      alert: 'ConnectionsRejected',
    },
    { expr: rate('derp_connections_accepted_total'), legend: 'accepted' },
    { expr: rate('derp_connections_rejected_total'), legend: 'rejected by the limit' },
    { expr: rate('derp_connections_out_of_descriptors_total'), legend: 'no descriptor' },
    { expr: rate('derp_handshake_failures_total'), legend: 'failed at {{stage}}' },
    { expr: rate('derp_logins_total'), legend: 'logins' },
  ),
  stacked(
    { title: 'Ends of sessions', description: 'By reason. The metrics page lists them.', unit: 'cps' },
    { expr: `sum by (reason) (${rate('derp_sessions_ended_total')})`, legend: '{{reason}}' },
  ),
  lines(
    {
      title: 'Round trip to clients',
      description: 'Quantiles of the smallest TCP round trips of five minutes.',
      unit: 's',
    },
    { expr: quantile(0.5, 'derp_client_round_trip_seconds'), legend: 'median' },
    { expr: quantile(0.9, 'derp_client_round_trip_seconds'), legend: 'slowest tenth' },
  ),
  lines(
    {
      title: 'Time of a login',
      description: 'From the start of a session to its admission.',
      unit: 's',
      alert: 'AdmissionSlow',
    },
    { expr: quantile(0.5, 'derp_login_seconds'), legend: 'median' },
    { expr: quantile(0.99, 'derp_login_seconds'), legend: '99th percentile' },
  ),
  lines(
    {
      title: 'Keys',
      description: 'Keys here, keys known at siblings, and keys that are connected twice: copied machines.',
      unit: 'short',
    },
    { expr: of('derp_keys_current'), legend: 'here' },
    { expr: of('derp_keys_at_siblings'), legend: 'at siblings' },
    { expr: of('derp_duplicate_keys_current'), legend: 'twice' },
  ),
]

export const NODE_BOARD: Board = {
  uid: 'derpfleet-node',
  title: 'derpfleet / Node',
  description: 'One relay: whether it is ready, what it carries, whom it refuses, and which reserves it has.',
  variables: [
    JOB,
    {
      name: 'instance',
      label: 'Instance',
      query: 'label_values(derp_build_info{job=~"$job"}, instance)',
      isSingle: true,
    },
  ],
  rows: [
    { title: 'State', panels: STATE },
    { title: 'Traffic', panels: TRAFFIC },
    { title: 'Clients', panels: CLIENTS },
    ACCESS_ROW,
    MESH_ROW,
    RESOURCES_ROW,
  ],
}
