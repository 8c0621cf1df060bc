// Rows of the board of one relay: who may use it, what connects it to others, and what it has left.

import type { Row } from './board.ts'
import { of, quantile, rate } from './expressions.ts'
import { lines, stacked, table } from './panel.ts'

export const ACCESS_ROW: Row = {
  title: 'Admission, certificates, files',
  panels: [
    stacked(
      {
        title: 'Admission',
        description: 'Decisions by result, in a second.',
        unit: 'cps',
        alert: 'AdmissionErrors',
      },
      { expr: `sum by (result) (${rate('derp_admission_total')})`, legend: '{{result}}' },
    ),
    lines(
      {
        title: 'Admission without a backend',
        description:
          'Of the time for which known clients are admitted while a backend is away. 100 % while the backends decide.',
        unit: 'percentunit',
        alert: 'AdmissionGraceLow',
      },
      { expr: of('derp_admission_grace_left_ratio'), legend: 'grace left' },
    ),
    lines(
      {
        title: 'Time of admission',
        description: 'From the question to the decision. An open relay asks nobody.',
        unit: 's',
        alert: 'AdmissionSlow',
      },
      { expr: quantile(0.5, 'derp_admission_seconds'), legend: 'median' },
      { expr: quantile(0.9, 'derp_admission_seconds'), legend: 'slowest tenth' },
    ),
    table(
      {
        title: 'Certificates',
        description: 'Those in use, where they come from, and when they expire.',
        unit: 'short',
        alert: 'CertificateLifeLow',
      },
      { hostname: 'Name', source: 'Source' },
      [
        {
          title: 'Expires',
          unit: 'dateTimeAsIso',
          expr: `${of('derp_certificate_info')} * on (job, instance, hostname) group_left () ${of('tls_certificate_not_after_timestamp_seconds')} * 1000`,
        },
        {
          title: 'Life left',
          unit: 'percentunit',
          expr: `${of('derp_certificate_info')} * on (job, instance, hostname) group_left () ((${of('tls_certificate_not_after_timestamp_seconds')} - time()) / (${of('tls_certificate_not_after_timestamp_seconds')} - ${of('tls_certificate_not_before_timestamp_seconds')}))`,
          thresholds: [
            [null, 'red'],
            [0.1, 'orange'],
            [0.25, 'green'],
          ],
        },
      ],
    ),
    table(
      {
        title: 'Lease',
        description: 'That of -lease-file in use, and when it ends. Empty for a relay that goes by none.',
        unit: 'short',
        alert: 'LeaseLifeLow',
      },
      { instance: 'Relay' },
      [
        {
          title: 'Ends',
          unit: 'dateTimeAsIso',
          expr: `max by (instance) (${of('derp_admission_lease_not_after_timestamp_seconds')}) * 1000`,
        },
        {
          title: 'Life left',
          unit: 'percentunit',
          expr: `max by (instance) ((${of('derp_admission_lease_not_after_timestamp_seconds')} - time()) / (${of('derp_admission_lease_not_after_timestamp_seconds')} - ${of('derp_admission_lease_not_before_timestamp_seconds')}))`,
          thresholds: [
            [null, 'red'],
            [0.1, 'orange'],
            [0.25, 'green'],
          ],
        },
        { title: 'Serial', expr: `max by (instance) (${of('derp_admission_lease_serial')})`, unit: 'none' },
        {
          title: 'Keys',
          expr: `max by (instance) (${of('derp_admission_keys', 'state="leased"')} and on (job, instance) ${of('derp_admission_lease_serial')})`,
        },
      ],
    ),
    table(
      {
        title: 'Files that are read again',
        description: '1: the present content is in use. When it was read.',
        unit: 'short',
        alert: 'ConfigRefused',
      },
      { file: 'File' },
      [
        {
          title: 'In use',
          expr: `max by (file) (${of('derp_config_last_reload_successful')})`,
          thresholds: [
            [null, 'red'],
            [1, 'green'],
          ],
        },
        {
          title: 'Read at',
          unit: 'dateTimeAsIso',
          expr: `max by (file) (${of('derp_config_last_reload_success_timestamp_seconds')}) * 1000`,
        },
      ],
    ),
    lines(
      {
        title: 'TLS handshakes',
        description: 'Completed ones by version, and failed ones by reason.',
        unit: 'cps',
      },
      { expr: rate('tls_handshakes_total'), legend: 'TLS {{version}}' },
      { expr: rate('tls_handshake_failures_total'), legend: '{{reason}}' },
    ),
    lines(
      {
        title: 'STUN',
        description: 'Requests by result and address family.',
        unit: 'reqps',
        alert: 'StunDead',
      },
      { expr: rate('stun_requests_total'), legend: '{{result}} {{family}}' },
    ),
  ],
}

export const MESH_ROW: Row = {
  title: 'Siblings',
  panels: [
    table(
      {
        title: 'Links to siblings',
        description: 'Each relay of the mesh as this one sees it.',
        unit: 'short',
        width: 24,
        alert: 'MeshPartition',
      },
      { sibling: 'Sibling', region: 'Region' },
      [
        {
          title: 'Up',
          expr: `max by (sibling, region) (${of('derp_sibling_up')})`,
          thresholds: [
            [null, 'red'],
            [1, 'green'],
          ],
        },
        { title: 'Keys', expr: `max by (sibling, region) (${of('derp_sibling_keys')})` },
        {
          title: 'Round trip',
          unit: 's',
          expr: `max by (sibling, region) (${of('derp_sibling_round_trip_median_seconds')})`,
        },
        {
          title: 'Loss',
          unit: 'percentunit',
          expr: `max by (sibling, region) (${of('derp_sibling_ping_loss_ratio')})`,
        },
        {
          title: 'Sent',
          unit: 'bps',
          expr: `sum by (sibling, region) (${rate('derp_sibling_bytes_total')}) * 8`,
        },
      ],
    ),
    lines(
      {
        title: 'Queue delay of links',
        description: 'Longest wait of a packet for the sibling in the last second.',
        unit: 's',
        alert: 'SiblingStalled',
      },
      { expr: of('derp_sibling_queue_delay_seconds'), legend: '{{sibling}}' },
    ),
    lines(
      {
        title: 'Drops for siblings',
        description: 'Packets for the sibling that this relay dropped.',
        unit: 'pps',
        alert: 'SiblingStalled',
      },
      { expr: rate('derp_sibling_dropped_packets_total'), legend: '{{sibling}}' },
    ),
    lines(
      {
        title: 'Fleet',
        description: 'Relays that this one sees, of those expected.',
        unit: 'short',
        alert: 'FleetSplit',
      },
      { expr: of('derp_fleet_relays_seen'), legend: 'seen' },
      { expr: of('derp_fleet_relays_expected'), legend: 'expected' },
    ),
    lines(
      {
        title: 'Drain',
        description: 'Clients that a drain has ended, by outcome, and packets lost in it.',
        unit: 'short',
        alert: 'DrainStuck',
      },
      { expr: of('derp_drain_clients_total'), legend: '{{outcome}}' },
      { expr: of('derp_drain_packets_lost_total'), legend: 'packets lost' },
    ),
    lines(
      {
        title: 'Key directory',
        description: 'Lookups for which a packet waited. Without NATS there are none.',
        unit: 'reqps',
        alert: 'NatsGone',
      },
      { expr: rate('derp_lookups_total'), legend: '{{result}}' },
    ),
  ],
}

export const RESOURCES_ROW: Row = {
  title: 'Threads and process',
  panels: [
    lines(
      {
        title: 'Threads: time in work',
        description: 'Share of one core. A busy thread is no full one: the headroom tells.',
        unit: 'percentunit',
        alert: 'ThreadSaturated',
      },
      { expr: rate('derp_thread_active_seconds_total'), legend: 'thread {{thread}}' },
    ),
    lines(
      {
        title: 'Threads: lateness',
        description: '99th percentile of the delay of timers, which packets have as well.',
        unit: 's',
        alert: 'ThreadSaturated',
      },
      { expr: quantile(0.99, 'derp_thread_loop_lag_seconds', 'thread, '), legend: 'thread {{thread}}' },
    ),
    lines(
      {
        title: 'Headroom',
        description: 'By limit: the threads, and the capacity if it is set.',
        unit: 'percentunit',
        alert: 'HeadroomLow',
      },
      { expr: of('derp_headroom_ratio'), legend: '{{limit}}' },
    ),
    lines(
      {
        title: 'Memory',
        description: 'Of the process, and what it may use.',
        unit: 'bytes',
        alert: 'DescriptorsOrMemory',
      },
      { expr: of('process_resident_memory_bytes'), legend: 'in use' },
      { expr: of('process_memory_limit_bytes'), legend: 'limit' },
      { expr: of('nodejs_heap_size_used_bytes'), legend: 'heap of the control thread' },
    ),
    lines(
      { title: 'Processor', description: 'Cores in use by the whole process.', unit: 'short' },
      { expr: rate('process_cpu_user_seconds_total'), legend: 'user' },
      { expr: rate('process_cpu_system_seconds_total'), legend: 'system' },
    ),
    lines(
      {
        title: 'File descriptors',
        description: 'Open ones, and the limit.',
        unit: 'short',
        alert: 'DescriptorsOrMemory',
      },
      { expr: of('process_open_fds'), legend: 'open' },
      { expr: of('process_max_fds'), legend: 'limit' },
    ),
    lines(
      {
        title: 'Restarts of threads',
        description: 'Each is a bug in derpfleet.',
        unit: 'short',
        alert: 'ThreadDied',
      },
      { expr: of('derp_thread_restarts_total'), legend: 'thread {{thread}}' },
    ),
    lines(
      {
        title: 'Log lines lost, commands denied',
        description: 'Lines that could not be written, and calls without the right token.',
        unit: 'short',
        alert: 'VerbsDenied',
      },
      { expr: `increase(${of('derp_log_lines_lost_total')}[$__rate_interval])`, legend: 'lines lost' },
      { expr: `increase(${of('derp_verbs_denied_total')}[$__rate_interval])`, legend: 'denied: {{reason}}' },
    ),
  ],
}
