// The metric family of what the relay sends in a month, over all its runs; the limit is in `metrics.ts`.

import { sample, type MetricFamily } from './metric-family.ts'

export function monthFamilies(bytes: number): MetricFamily[] {
  return [
    {
      name: 'derp_month_sent_bytes',
      type: 'gauge',
      help: 'Bytes sent in this calendar month (UTC), also by runs before this one.',
      samples: [sample(bytes)],
    },
  ]
}
