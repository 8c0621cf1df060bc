// The board of the whole fleet: is all well, and if not, where.

import { JOB, type Board } from './board.ts'
import { named, quantileBy } from './expressions.ts'
import { lines, stacked, stat, table, worldMap, type Panel, type Step } from './panel.ts'

const GOOD_ZERO: readonly Step[] = [
  [null, 'green'],
  [1, 'red'],
]
const LIFE: readonly Step[] = [
  [null, 'red'],
  [0.1, 'orange'],
  [0.25, 'green'],
]
const HEADROOM: readonly Step[] = [
  [null, 'red'],
  [0.05, 'orange'],
  [0.2, 'green'],
]

const lifeLeft = `(tls_certificate_not_after_timestamp_seconds{job=~"$job"} - time()) / (tls_certificate_not_after_timestamp_seconds{job=~"$job"} - tls_certificate_not_before_timestamp_seconds{job=~"$job"})`
const clientsOfRegion = `sum by (region) (${named('sum by (job, instance) (derp_clients_current{job=~"$job",kind="home"})')})`

const NOW: readonly Panel[] = [
  stat(
    {
      title: 'Alerts that fire',
      description: 'Alerts of derpfleet, by the rules of deploy/prometheus. Each has its runbook.',
      unit: 'short',
    },
    'count(ALERTS{alertstate="firing",service="derpfleet"}) or vector(0)',
    GOOD_ZERO,
  ),
  stat(
    {
      title: 'Relays that do not answer',
      description: 'Relays whose admin port does not answer Prometheus.',
      unit: 'short',
      alert: 'RelayDown',
    },
    'count(up{job=~"$job"} == 0) or vector(0)',
    GOOD_ZERO,
  ),
  stat(
    {
      title: 'Regions with a ready relay',
      description:
        'Regions in which at least one relay is ready for clients. A standby counts as a region of its own.',
      unit: 'short',
      alert: 'RegionDown',
    },
    `count(count by (region) (${named('(derp_ready{job=~"$job"} == 1)')})) or vector(0)`,
  ),
  stat(
    {
      title: 'Relays seen, of those expected',
      description:
        'The worst view of any relay: which share of the fleet it sees. At a half or less it has no majority, and its map is stale.',
      unit: 'percentunit',
      alert: 'FleetSplit',
    },
    'min(derp_fleet_relays_seen{job=~"$job"} / derp_fleet_relays_expected{job=~"$job"})',
    [
      [null, 'red'],
      [0.51, 'orange'],
      [1, 'green'],
    ],
  ),
  stat(
    { title: 'Clients', description: 'Logged-in sessions at all relays.', unit: 'short' },
    'sum(derp_clients_current{job=~"$job"})',
    [[null, 'text']],
  ),
  stat(
    { title: 'Throughput', description: 'Packets sent by all relays, mean of ten seconds.', unit: 'bps' },
    'sum(derp_throughput_bytes_per_second{job=~"$job"}) * 8',
    [[null, 'text']],
  ),
  stat(
    {
      title: 'Drop ratio',
      description: 'Share of packets that are dropped. Packets to keys that are not connected do not count.',
      unit: 'percentunit',
      alert: 'DropRatioHigh',
    },
    'sum(rate(derp_dropped_packets_total{job=~"$job",reason!~"unknown_dest.*|tenant"}[$__rate_interval])) / sum(rate(derp_received_packets_total{job=~"$job"}[$__rate_interval]))',
    [
      [null, 'green'],
      [0.0001, 'orange'],
      [0.01, 'red'],
    ],
  ),
  stat(
    {
      title: 'Worst queue delay',
      description: '99th percentile of the oldest packet of each write, at the relay where it is longest.',
      unit: 's',
      alert: 'QueueDelayHigh',
    },
    `max(${quantileBy(0.99, 'derp_send_queue_delay_seconds', 'instance')})`,
    [
      [null, 'green'],
      [0.1, 'orange'],
      [0.25, 'red'],
    ],
  ),
  stat(
    {
      title: 'Least headroom',
      description: 'Share that the load leaves of what the busiest thread, or the capacity, can carry.',
      unit: 'percentunit',
      alert: 'HeadroomLow',
    },
    'min(derp_headroom_ratio{job=~"$job"})',
    HEADROOM,
  ),
  stat(
    {
      title: 'Soonest certificate',
      description: 'The smallest fraction of life that is left of any certificate.',
      unit: 'percentunit',
      alert: 'CertificateLifeLow',
    },
    `min(${lifeLeft})`,
    LIFE,
  ),
  stat(
    {
      title: 'Drains',
      description: 'Relays that move their clients away now.',
      unit: 'short',
      alert: 'DrainStuck',
    },
    'sum(derp_draining{job=~"$job"})',
    [
      [null, 'green'],
      [1, 'orange'],
    ],
  ),
  stat(
    {
      title: 'Files refused',
      description: 'Files whose present content is invalid, over all relays.',
      unit: 'short',
      alert: 'ConfigRefused',
    },
    'count(derp_config_last_reload_successful{job=~"$job"} == 0) or vector(0)',
    GOOD_ZERO,
  ),
]

const PLACES: readonly Panel[] = [
  worldMap(
    {
      title: 'Regions',
      description: 'Ready relays of each region with coordinates in the regions file. Red has none.',
      unit: 'short',
      alert: 'RegionDown',
    },
    `count by (region, code, latitude, longitude) (derp_region_info{job=~"$job",latitude!=""}) * 0
+ on (region) group_left () (sum by (region) (${named('derp_ready{job=~"$job"}')}))`,
    GOOD_ZERO.map(([from, color]) => [from, color === 'green' ? 'red' : 'green']),
  ),
  table(
    {
      title: 'Regions',
      description: 'What each region has now. A standby of several regions has a row of its own.',
      unit: 'short',
      width: 12,
    },
    { region: 'Region' },
    [
      { title: 'Relays', expr: `count by (region) (${named('derp_ready{job=~"$job"}')})` },
      {
        title: 'Ready',
        expr: `sum by (region) (${named('derp_ready{job=~"$job"}')})`,
        thresholds: [
          [null, 'red'],
          [1, 'green'],
        ],
      },
      { title: 'Clients at home', expr: clientsOfRegion },
      {
        title: 'Sent',
        unit: 'bps',
        expr: `sum by (region) (${named('derp_throughput_bytes_per_second{job=~"$job"}')}) * 8`,
      },
      {
        title: 'Headroom',
        unit: 'percentunit',
        expr: `min by (region) (${named('min by (job, instance) (derp_headroom_ratio{job=~"$job"})')})`,
        thresholds: HEADROOM,
      },
    ],
  ),
  table(
    {
      title: 'Relays',
      description: 'Every relay that answers. Choose one on the board of the node for more.',
      unit: 'short',
      width: 24,
    },
    { instance: 'Instance', hostname: 'Host name', region: 'Region', node: 'Node', version: 'Version' },
    [
      {
        title: 'Ready',
        expr: 'derp_relay_info{job=~"$job"} * on (job, instance) group_left () derp_ready{job=~"$job"}',
        thresholds: [
          [null, 'red'],
          [1, 'green'],
        ],
      },
      {
        title: 'Clients',
        expr: 'derp_relay_info{job=~"$job"} * on (job, instance) group_left () sum by (job, instance) (derp_clients_current{job=~"$job"})',
      },
      {
        title: 'Up since',
        unit: 'dateTimeAsIso',
        expr: 'derp_relay_info{job=~"$job"} * on (job, instance) group_left () process_start_time_seconds{job=~"$job"} * 1000',
      },
    ],
  ),
]

const TIME: readonly Panel[] = [
  stacked(
    {
      title: 'Clients by region',
      description: 'Clients whose home is a relay of the region.',
      unit: 'short',
    },
    { expr: clientsOfRegion, legend: '{{region}}' },
  ),
  stacked(
    {
      title: 'Throughput by region',
      description: 'Bits of packets sent to clients and siblings.',
      unit: 'bps',
    },
    {
      expr: `sum by (region) (${named('derp_throughput_bytes_per_second{job=~"$job"}')}) * 8`,
      legend: '{{region}}',
    },
  ),
  stacked(
    {
      title: 'Drops by reason',
      description: 'Packets dropped in a second. The runbook says what to do for each reason.',
      unit: 'pps',
      alert: 'DropRatioHigh',
    },
    {
      expr: 'sum by (reason) (rate(derp_dropped_packets_total{job=~"$job"}[$__rate_interval]))',
      legend: '{{reason}}',
    },
  ),
  lines(
    {
      title: 'Queue delay',
      description: '99th percentile by relay of the oldest packet of each write.',
      unit: 's',
      alert: 'QueueDelayHigh',
    },
    { expr: quantileBy(0.99, 'derp_send_queue_delay_seconds', 'instance'), legend: '{{instance}}' },
  ),
  lines(
    {
      title: 'Relays of the fleet by state',
      description: 'As the relay that knows most of them sees it.',
      unit: 'short',
      alert: 'FleetRelayDown',
    },
    { expr: 'max by (state) (derp_fleet_relays{job=~"$job"})', legend: '{{state}}' },
    { expr: 'max(derp_fleet_relays_expected{job=~"$job"})', legend: 'expected' },
  ),
  stacked(
    {
      title: 'Versions',
      description: 'Relays by version. Two for longer than an upgrade takes need a reason.',
      unit: 'short',
      alert: 'VersionSkew',
    },
    { expr: 'count by (version) (derp_build_info{job=~"$job"})', legend: '{{version}}' },
  ),
  lines(
    {
      title: 'Drains: clients left',
      description: 'Clients that are still at relays that drain.',
      unit: 'short',
      alert: 'DrainStuck',
    },
    { expr: 'derp_drain_clients_remaining{job=~"$job"}', legend: '{{instance}}' },
  ),
  lines(
    {
      title: 'Life left of certificates',
      description: 'Fraction of life. Renewal is at a third, a warning at a quarter.',
      unit: 'percentunit',
      alert: 'CertificateLifeLow',
    },
    { expr: lifeLeft, legend: '{{hostname}}' },
  ),
]

export const FLEET_BOARD: Board = {
  uid: 'derpfleet-fleet',
  title: 'derpfleet / Fleet',
  description: 'All relays and regions: whether clients are served, and where to look if they are not.',
  variables: [JOB],
  rows: [
    { title: 'Now', panels: NOW },
    { title: 'Where', panels: PLACES },
    { title: 'Over time', panels: TIME },
  ],
}
