// The metric families of the drain that are not counters of the relay threads; those are in `relay-families.ts`.

import type { DrainWatch } from './drain-watch.ts'
import { sample, type MetricFamily } from './metric-family.ts'

export function drainFamilies(watch: Pick<DrainWatch, 'isDraining' | 'numbers'>): MetricFamily[] {
  const { isDraining } = watch
  const { remaining, lost } = watch.numbers()
  return [
    {
      name: 'derp_draining',
      type: 'gauge',
      help: '1 if this relay moves its clients away and then stops, else 0.',
      samples: [sample(Number(isDraining))],
    },
    {
      name: 'derp_drain_clients_remaining',
      type: 'gauge',
      help: 'During a drain, clients that are still connected; else 0.',
      samples: [sample(isDraining ? remaining : 0)],
    },
    {
      name: 'derp_drain_packets_lost_total',
      type: 'counter',
      help: 'Packets dropped during the drain because their destination had left.',
      samples: [sample(lost)],
    },
  ]
}
