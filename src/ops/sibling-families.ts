// What metrics say of each sibling: whether it is reached, how well the way to it does, and what goes there. One label,
// `sibling`, as the operator has named it, and `region`: `own` or `other`.

import { sample, type MetricFamily, type MetricType, type Sample } from './metric-family.ts'
import type { SiblingView } from './link-watch.ts'

type Reading = (sibling: SiblingView) => number | undefined

const ROWS: readonly (readonly [type: MetricType, name: string, help: string, reading: Reading])[] = [
  [
    'gauge',
    'derp_sibling_up',
    '1 when every relay thread has a link to the sibling.',
    ({ isUp }) => Number(isUp),
  ],
  ['gauge', 'derp_sibling_keys', 'Node keys that the sibling has told of.', ({ keys }) => keys],
  [
    'gauge',
    'derp_sibling_keys_refused',
    'Node keys that the sibling has told of beyond the limit; they are not known here.',
    ({ keysRefused }) => keysRefused,
  ],
  [
    'gauge',
    'derp_sibling_round_trip_seconds',
    'Smoothed time of a ping to the sibling and back.',
    ({ rttMs }) => rttMs && rttMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_jitter_seconds',
    'Smoothed difference between one round trip and the next.',
    ({ jitterMs }) => jitterMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_ping_loss_ratio',
    'Share of the last five minutes of pings without an answer in time.',
    ({ lossRatio }) => lossRatio,
  ],
  [
    'gauge',
    'derp_sibling_queue_delay_seconds',
    'How long a packet for the sibling has waited here at most in the last second.',
    ({ delayMs }) => delayMs / 1_000,
  ],
  [
    'gauge',
    'derp_sibling_queue_bytes',
    'Bytes of the frames of packets waiting for the sibling.',
    ({ waitingBytes }) => waitingBytes,
  ],
  ['counter', 'derp_sibling_packets_total', 'Packets handed to the sibling.', ({ packets }) => packets],
  ['counter', 'derp_sibling_bytes_total', 'Bytes of packets handed to the sibling.', ({ bytes }) => bytes],
  [
    'counter',
    'derp_sibling_dropped_packets_total',
    'Packets for the sibling that were dropped here.',
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

function samplesOf(siblings: readonly SiblingView[], reading: Reading): Sample[] {
  return siblings.flatMap((sibling) => {
    const value = reading(sibling)
    const region = sibling.isInside ? 'own' : 'other'
    return value === undefined ? [] : [sample(value, { sibling: sibling.name, region })]
  })
}
