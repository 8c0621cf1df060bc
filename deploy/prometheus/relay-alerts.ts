// Alerts of single relays and of whole regions: whether they are there, and ready for clients.

import type { RuleGroup } from './rule.ts'

/**
 * The region of each relay, a series for each of several. A relay that does not answer keeps its last one while it is scraped, so
 * that its region is missed.
 */
const REGION_OF_RELAY = `max by (job, instance, region) (
  label_replace(derp_relay_info{JOB}, "region", "$1", "region", "([^,]+).*")
  or label_replace(derp_relay_info{JOB,region=~".+,.+"}, "region", "$1", "region", "[^,]+,([^,]+).*")
  or label_replace(derp_relay_info{JOB,region=~".+,.+,.+"}, "region", "$1", "region", "[^,]+,[^,]+,([^,]+).*")
)
or (
  last_over_time(derpfleet:relay_region[1h])
  unless on (job, instance) derp_relay_info{JOB}
  and on (job, instance) up{JOB}
)`

/** A relay that drains is about to be renewed: DrainStuck says if it is not. */
const REGION_DOWN = `count by (job, region) (derpfleet:relay_region{region!=""})
unless on (job, region) (
  derpfleet:relay_region
  and on (job, instance) (derp_ready{JOB} == 1 or derp_draining{JOB} == 1)
)
unless on (job, region) derp_region_info{JOB,state="off"}`

/** The relay asks itself every five seconds; fifty clients at home ask twice a second. */
const STUN_DEAD = `(
  sum by (job, instance) (rate(stun_requests_total{JOB,result="success"}[15m])) < 0.3
  and on (job, instance) derp_clients_current{JOB,kind="home"} >= 50
)
or sum by (job, instance) (derp_check_ok{JOB,check="stun"} == 0 unless on (job, instance) derp_draining{JOB} == 1)`

export const RELAY_ALERTS: RuleGroup = {
  name: 'derpfleet-relays',
  rules: [
    { record: 'derpfleet:relay_region', expr: REGION_OF_RELAY },
    {
      alert: 'RelaysAbsent',
      expr: 'absent(up{JOB})',
      for: '5m',
      severity: 'critical',
      summary: 'Prometheus watches no relay.',
      description: 'There is no target of the job, so none of the other alerts can fire.',
    },
    {
      alert: 'RelayDown',
      expr: 'up{JOB} == 0',
      for: '2m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} does not answer Prometheus.',
      description:
        'Its admin port has not answered for two minutes. If the relay is down, its clients are at the other relays of its region. RegionDown says when there is none.',
    },
    {
      alert: 'RegionDown',
      expr: REGION_DOWN,
      for: '1m',
      severity: 'critical',
      summary: 'Region {{ $labels.region }} has no relay that is ready.',
      description:
        'Relays that it had: {{ $value }}. None is ready for clients, and none drains. Clients go to other regions, farther away; those who have no other are cut off.',
    },
    {
      alert: 'RelayNotReady',
      expr: 'derp_check_ok{JOB,check!~"drain|stun"} == 0 unless on (job, instance) derp_draining{JOB} == 1',
      for: '5m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} is not ready: check {{ $labels.check }} fails.',
      description:
        'The check has failed for five minutes. New clients are not sent to this relay; with most checks its STUN is silent.',
    },
    {
      alert: 'StunDead',
      expr: STUN_DEAD,
      for: '5m',
      severity: 'critical',
      summary: 'Relay {{ $labels.instance }} serves clients, but no STUN arrives or is answered.',
      description:
        'Either its own test requests have no answer, or it has fifty clients at home and none of them asks. No new client chooses this relay.',
    },
    {
      alert: 'DrainStuck',
      expr: 'derp_drain_clients_remaining{JOB} and on (job, instance) derp_draining{JOB} == 1',
      for: '15m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} has been draining for 15 minutes.',
      description: '{{ $value }} clients are still there. The relay serves no new ones meanwhile.',
    },
    {
      alert: 'ThreadDied',
      expr: 'increase(derp_thread_restarts_total{JOB}[1h]) > 0',
      for: '0s',
      severity: 'warning',
      summary: 'Thread {{ $labels.thread }} of relay {{ $labels.instance }} died.',
      description:
        'Deaths within the hour: {{ $value | humanize }}. Each time it was restarted, and its clients lost their connections. This is a bug in derpfleet.',
    },
    {
      alert: 'VersionSkew',
      expr: 'count by (job) (count by (job, version) (derp_build_info{JOB})) > 1',
      for: '3h',
      severity: 'info',
      summary: 'The relays run {{ $value }} versions.',
      description: 'They have done so for three hours. An upgrade may have stopped half way.',
    },
  ],
}
