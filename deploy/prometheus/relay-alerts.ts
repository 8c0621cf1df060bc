// Alerts of single relays and of whole regions: whether they are there, and ready for clients.

import type { RuleGroup } from './rule.ts'

export const RELAY_ALERTS: RuleGroup = {
  name: 'derpfleet-relays',
  rules: [
    {
      alert: 'RelayDown',
      expr: 'up{JOB} == 0',
      for: '2m',
      severity: 'warning',
      summary: 'Relay {{ $labels.instance }} does not answer Prometheus.',
      description:
        'Its admin port has not answered for two minutes. If the relay is down, its clients are at the other relays of its region. RegionDown says when there is none.',
    },
  ],
}
