// Alerts of what connects relays: links to siblings, the fleet's state, the DERP map, the key directory.

import type { RuleGroup } from './rule.ts'

/**
 * Both ends live, by Prometheus. With a key directory, links to other regions are made when they are needed, so it is no fault
 * that there is none.
 */
const MESH_PARTITION = `label_replace(
  derp_sibling_up{JOB,region="own"} == 0
  or (derp_sibling_up{JOB,region="other"} == 0 unless on (job, instance) derp_key_directory_connected{JOB}),
  "hostname", "$1", "sibling", "([^/:]+).*"
)
and on (job, hostname) derp_relay_info{JOB}`

/** More relays live than this one sees: it is cut off, and they are not down. */
const FLEET_SPLIT = `derp_fleet_relays_seen{JOB} * 2 <= derp_fleet_relays_expected{JOB}
and derp_fleet_relays_seen{JOB} < on (job) group_left () count by (job) (derp_ready{JOB})`

const SIBLING_STALLED = `(
  derp_sibling_queue_delay_seconds{JOB} > 0.5
  or derp_sibling_ping_loss_ratio{JOB} > 0.1
  or derp_sibling_round_trip_median_seconds{JOB} - derp_sibling_round_trip_min_seconds{JOB} > 0.5
)
and on (job, instance, sibling) derp_sibling_up{JOB} == 1`

export const MESH_ALERTS: RuleGroup = {
  name: 'derpfleet-mesh',
  rules: [
    {
      alert: 'MeshPartition',
      expr: MESH_PARTITION,
      for: '3m',
      severity: 'critical',
      summary: 'Relay {{ $labels.instance }} has no link to {{ $labels.sibling }}, and both live.',
      description:
        'Clients of one do not reach clients of the other. The log of {{ $labels.instance }} has the reason (sibling_down).',
    },
    {
      alert: 'SiblingStalled',
      expr: SIBLING_STALLED,
      for: '5m',
      severity: 'warning',
      summary: 'Packets from relay {{ $labels.instance }} to {{ $labels.sibling }} wait or are lost.',
      description:
        'The link is up, but packets wait more than half a second for it, or more than a tenth of the pings are lost.',
    },
    {
      alert: 'FleetSplit',
      expr: FLEET_SPLIT,
      for: '2m',
      severity: 'critical',
      summary: 'Relay {{ $labels.instance }} sees {{ $value }} relays, not the majority, and more are alive.',
      description:
        'The fleet is in parts that do not reach each other. Clients of one part do not reach clients of the others.',
    },
    {
      alert: 'FleetRelayDown',
      expr: 'max by (job) (derp_fleet_relays{JOB,state="down"}) > 0',
      for: '2m',
      severity: 'warning',
      summary: 'Relays of the fleet are missed by the others: {{ $value }}.',
      description:
        'The others have heard nothing of them for half a minute, or were told that they end. It may be a relay that Prometheus does not watch.',
    },
    {
      alert: 'FleetConflict',
      expr: 'max by (job) (derp_fleet_conflicts{JOB}) > 0',
      for: '5m',
      severity: 'warning',
      summary: 'Two relays claim the same node or the same key.',
      description:
        'Such pairs: {{ $value }}. Siblings follow the one whose key the link has proven, or the first.',
    },
    {
      alert: 'MapStale',
      expr: 'derp_map_stale{JOB} == 1',
      for: '5m',
      severity: 'warning',
      summary: 'The DERP map of relay {{ $labels.instance }} may have regions that are gone.',
      description:
        'It does not see the majority of the fleet, so it drops no region from the map. Clients may try relays that are down.',
    },
    {
      alert: 'NatsGone',
      expr: 'derp_key_directory_connected{JOB} == 0',
      for: '2m',
      severity: 'critical',
      summary: 'Relay {{ $labels.instance }} has no connection to NATS.',
      description:
        'It finds no keys of other regions but those that it knows. Packets to all others are dropped.',
    },
  ],
}
