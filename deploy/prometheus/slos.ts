// Service level objectives: the share of bad events in windows of several lengths, as recorded series, and alerts when the
// budget of thirty days is used up too fast. A fast burn needs somebody now, a slow one this week.

import type { Alert, Recording, RuleGroup, Severity } from './rule.ts'

interface Objective {
  /** The value of the label `slo`, and the beginning of the alert's name. */
  readonly slo: string
  readonly alert: string
  /** Share of bad events that is allowed. */
  readonly budget: number
  readonly by: readonly string[]
  /** The share of bad events in a window, with WINDOW where it belongs. */
  readonly errors: string
  /** Who misses what. */
  readonly summary: string
}

const REGION_AVAILABLE: Recording = {
  record: 'derpfleet:region_available',
  expr: `count by (job, region) (derpfleet:relay_region{region!=""} and on (job, instance) derp_ready{JOB} == 1) > bool 0
or 0 * count by (job, region) (derpfleet:relay_region{region!=""} unless on (job, region) derp_region_info{JOB,state="off"})`,
}

const RECEIVED = `(
  sum by (job) (rate(derp_received_packets_total{JOB}[WINDOW]))
  + sum by (job) (rate(derp_mesh_forwarded_packets_total{JOB,direction="in"}[WINDOW]))
)`

const FAILED_LOGINS = `sum by (job) (rate(derp_sessions_ended_total{JOB,reason=~"admission_(unreachable|timeout)"}[WINDOW]))`

export const OBJECTIVES: readonly Objective[] = [
  {
    slo: 'availability',
    alert: 'AvailabilityBurn',
    budget: 0.001,
    by: ['job', 'region'],
    errors: '1 - avg_over_time(derpfleet:region_available[WINDOW])',
    summary:
      'Region {{ $labels.region }} has had no ready relay for {{ $value | humanizePercentage }} of the time.',
  },
  {
    slo: 'delivery',
    alert: 'DeliveryBurn',
    budget: 0.0001,
    by: ['job'],
    errors: `sum by (job) (rate(derp_dropped_packets_total{JOB,reason!~"unknown_dest.*|tenant|gone_disconnected"}[WINDOW]))\n/ ${RECEIVED}`,
    summary: 'The fleet has dropped {{ $value | humanizePercentage }} of its packets.',
  },
  {
    slo: 'delay',
    alert: 'DelayBurn',
    budget: 0.01,
    by: ['job'],
    errors: `1 - sum by (job) (rate(derp_send_queue_delay_seconds_bucket{JOB,le="0.1"}[WINDOW]))
/ sum by (job) (rate(derp_send_queue_delay_seconds_count{JOB}[WINDOW]))`,
    summary:
      'Of all writes, {{ $value | humanizePercentage }} had a packet that had waited for more than 100 ms.',
  },
  {
    slo: 'login',
    alert: 'LoginBurn',
    budget: 0.001,
    by: ['job'],
    errors: `${FAILED_LOGINS}\n/ (sum by (job) (rate(derp_logins_total{JOB}[WINDOW])) + ${FAILED_LOGINS})`,
    summary: 'Admission has failed for {{ $value | humanizePercentage }} of all logins.',
  },
]

interface Burn {
  /** The whole budget lasts thirty days divided by it. */
  readonly factor: number
  readonly long: string
  /** Ends the alert soon after the fault. */
  readonly short: string
  readonly for: string
  readonly severity: Severity
}

const BURNS: readonly Burn[] = [
  { factor: 14.4, long: '1h', short: '5m', for: '2m', severity: 'critical' },
  { factor: 6, long: '6h', short: '30m', for: '15m', severity: 'critical' },
  { factor: 1, long: '3d', short: '6h', for: '1h', severity: 'warning' },
]

const WINDOWS = [...new Set(BURNS.flatMap(({ short, long }) => [short, long]))]

function recordingsOf({ slo, errors }: Objective): readonly Recording[] {
  return WINDOWS.map((window) => ({
    record: `derpfleet:slo_errors:ratio_rate${window}`,
    labels: { slo },
    expr: errors.replaceAll('WINDOW', window),
  }))
}

function alertsOf({ slo, alert, budget, summary }: Objective): readonly Alert[] {
  return BURNS.map(({ factor, long, short, for: pending, severity }) => {
    const limit = Number((factor * budget).toPrecision(4))
    const over = (window: string): string =>
      `derpfleet:slo_errors:ratio_rate${window}{slo="${slo}"} > ${limit}`
    return {
      alert,
      expr: `${over(long)}\nand ${over(short)}`,
      for: pending,
      severity,
      labels: { window: long },
      summary,
      description: `In the last ${long}, and still in the last ${short}. At this rate the budget of thirty days (${budget * 100} %) lasts ${(30 / factor).toFixed(0)} days.`,
    }
  })
}

function rulesOf(objective: Objective): readonly (Recording | Alert)[] {
  return [...recordingsOf(objective), ...alertsOf(objective)]
}

export const SLO_GROUPS: readonly RuleGroup[] = [
  {
    name: 'derpfleet-slos',
    rules: [REGION_AVAILABLE, ...OBJECTIVES.flatMap(rulesOf)],
  },
]
