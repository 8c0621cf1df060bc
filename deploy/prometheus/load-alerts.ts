// Alerts of what a relay carries, and of the reserves that it has left.

import type { RuleGroup } from './rule.ts'

/** A thread may be busy with little on it; clients wait only if its timers are late, too. */
const THREAD_SATURATED = `rate(derp_thread_active_seconds_total{JOB}[5m]) > 0.95
and on (job, instance, thread)
  histogram_quantile(0.99, sum by (job, instance, thread, le) (rate(derp_thread_loop_lag_seconds_bucket{JOB}[5m]))) > 0.05`

const DESCRIPTORS_OR_MEMORY = `label_replace(process_open_fds{JOB} / process_max_fds{JOB} > 0.8, "resource", "file descriptors", "", "")
or label_replace(process_resident_memory_bytes{JOB} / process_memory_limit_bytes{JOB} > 0.85, "resource", "memory", "", "")
or label_replace(derp_waiting_bytes{JOB} / derp_waiting_limit_bytes{JOB} > 0.5, "resource", "memory for waiting data", "", "")`

const DROP_RATIO = `sum by (job, instance) (rate(derp_dropped_packets_total{JOB,reason!~"unknown_dest.*|tenant"}[5m]))
/ (
  sum by (job, instance) (rate(derp_received_packets_total{JOB}[5m]))
  + sum by (job, instance) (rate(derp_mesh_forwarded_packets_total{JOB,direction="in"}[5m]))
) > 0.01
and on (job, instance) sum by (job, instance) (rate(derp_received_packets_total{JOB}[5m])) > 10`

export const LOAD_ALERTS: RuleGroup = {
  name: 'derpfleet-load',
  rules: [
    {
      alert: 'HeadroomLow',
      expr: 'min by (job, instance) (derp_headroom_ratio{JOB}) < 0.2',
      for: '15m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} has {{ $value | humanizePercentage }} headroom left.',
      description:
        'That is what the load leaves of the busiest thread, or of the capacity that is set. Near zero, packets wait and are dropped.',
    },
    {
      alert: 'ThreadSaturated',
      expr: THREAD_SATURATED,
      for: '10m',
      severity: 'warning',
      summary:
        'Thread {{ $labels.thread }} of relay {{ $labels.instance }} is busy {{ $value | humanizePercentage }} of the time, and late.',
      description:
        'One of a hundred of its timers is more than 50 ms late. So are the packets of its clients.',
    },
    {
      alert: 'QueueDelayHigh',
      expr: 'histogram_quantile(0.99, sum by (job, instance, le) (rate(derp_send_queue_delay_seconds_bucket{JOB}[5m]))) > 0.25',
      for: '10m',
      severity: 'warning',
      summary: 'Packets wait {{ $value | humanizeDuration }} at relay {{ $labels.instance }}.',
      description:
        'This is the 99th percentile of the oldest packet of each write. Clients that read slowly, or a link that is full, cause it.',
    },
    {
      alert: 'DropRatioHigh',
      expr: DROP_RATIO,
      for: '10m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} drops {{ $value | humanizePercentage }} of its packets.',
      description:
        'Packets to keys that are not connected, or are of another tenant, do not count. derp_dropped_packets_total has the reasons.',
    },
    {
      alert: 'ConnectionsRejected',
      expr: `rate(derp_connections_rejected_total{JOB}[5m]) + rate(derp_connections_out_of_descriptors_total{JOB}[5m]) > 1`,
      for: '5m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} closes {{ $value | humanize }} new connections a second.',
      description: 'They come faster than the accept limit allows, or there is no file descriptor for them.',
    },
    {
      alert: 'DescriptorsOrMemory',
      expr: DESCRIPTORS_OR_MEMORY,
      for: '5m',
      severity: 'warning',
      summary:
        'Relay {{ $labels.instance }} uses {{ $value | humanizePercentage }} of its {{ $labels.resource }}.',
      description:
        'Without descriptors the relay takes no new client. Above half of the memory for waiting data it drops packets. Without memory the system ends it.',
    },
    {
      alert: 'MonthBytesHigh',
      expr: 'derp_month_sent_bytes{JOB} / derp_month_limit_bytes{JOB} > 0.8',
      for: '5m',
      severity: 'warning',
      summary:
        'Relay {{ $labels.instance }} has sent {{ $value | humanizePercentage }} of its bytes of the month.',
      description:
        'At 100% it goes on, or drops all but disco messages: as month-over says. A new month begins at midnight UTC.',
    },
  ],
}
