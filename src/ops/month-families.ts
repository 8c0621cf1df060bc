// The metric families of what the relay sends in a month, over all its runs; the limit is in `metrics.ts`. How much it is for each
// tenant has no series: there may be a thousand of them, and `derpfleet tenants` says it.

import { sample, type MetricFamily } from './metric-family.ts'

/** How far the bytes of a tenant's month are used up. */
interface TenantMonthState {
  readonly alarm: 'no' | 'soon' | 'over'
}

export function monthFamilies(bytes: number, tenants: readonly TenantMonthState[]): MetricFamily[] {
  const count = (alarm: TenantMonthState['alarm']): number =>
    tenants.filter((one) => one.alarm === alarm).length
  return [
    {
      name: 'derp_month_sent_bytes',
      type: 'gauge',
      help: 'Bytes sent in this calendar month (UTC), also by runs before this one.',
      samples: [sample(bytes)],
    },
    {
      name: 'derp_tenant_months',
      type: 'gauge',
      help: 'Tenants of which the list of keys says how much may be sent to them in a month, by how far it is used up: less than four fifths (below), more (soon), all (over).',
      samples: [
        sample(count('no'), { state: 'below' }),
        sample(count('soon'), { state: 'soon' }),
        sample(count('over'), { state: 'over' }),
      ],
    },
  ]
}
