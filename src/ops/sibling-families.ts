// The metric families of siblings: state, quality of the path, and traffic. Labels: `sibling`, the name in the
// configuration, and `region`, which is `own` or `other`.

import { sample, type MetricFamily, type MetricType, type Sample } from './metric-family.ts'
import type { SiblingView } from './link-watch.ts'

type SiblingReading = (sibling: SiblingView) => number | undefined

const ROWS: readonly (readonly [type: MetricType, name: string, help: string, reading: SiblingReading])[] = [
  [
    'gauge',
    'derp_sibling_up',
    '1 if every relay thread has a link to the sibling.',
    ({ isUp }) => Number(isUp),
  ],
  ['gauge', 'derp_sibling_keys', 'Node keys that the sibling has reported.', ({ keys }) => keys],
  [
    'gauge',
    'derp_sibling_keys_refused',
    'Node keys that the sibling has reported beyond the limit. This relay does not know them.',
    ({ keysRefused }) => keysRefused,
  ],
  [
    'gauge',
    'derp_sibling_round_trip_seconds',
    'Smoothed round-trip time of pings to the sibling.',
    ({ rttMs }) => rttMs && rttMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_round_trip_min_seconds',
    'Smallest round-trip time of the pings of the last minute.',
    ({ rttMinMs }) => rttMinMs && rttMinMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_round_trip_median_seconds',
    'Median round-trip time of the pings of the last minute.',
    ({ rttMedianMs }) => rttMedianMs && rttMedianMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_jitter_seconds',
    'Smoothed difference between consecutive round-trip times.',
    ({ jitterMs }) => jitterMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_ping_loss_ratio',
    'Share of the pings of the last five minutes that had no answer in time.',
    ({ lossRatio }) => lossRatio,
  ],
  [
    'gauge',
    'derp_sibling_queue_delay_seconds',
    'Longest wait of a packet in the queue for the sibling in the last second.',
    ({ delayMs }) => delayMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_queue_bytes',
    'Bytes of frames in the queue for the sibling.',
    ({ waitingBytes }) => waitingBytes,
  ],
  ['counter', 'derp_sibling_packets_total', 'Packets forwarded to the sibling.', ({ packets }) => packets],
  ['counter', 'derp_sibling_bytes_total', 'Bytes of packets forwarded to the sibling.', ({ bytes }) => bytes],
  [
    'counter',
    'derp_sibling_dropped_packets_total',
    'Packets for the sibling that this relay dropped.',
    ({ dropped }) => dropped,
  ],
]

export function siblingFamilies(siblings: readonly SiblingView[]): MetricFamily[] {
  return ROWS.map(([type, name, help, reading]) => ({
    name,
    type,
    help,
    samples: samplesOf(siblings, reading),
  }))
}

function samplesOf(siblings: readonly SiblingView[], reading: SiblingReading): Sample[] {
  return siblings.flatMap((sibling) => {
    const value = reading(sibling)
    const region = sibling.isInside ? 'own' : 'other'
    return value === undefined ? [] : [sample(value, { sibling: sibling.name, region })]
  })
}
