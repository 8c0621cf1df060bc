// The metric families of the lane, the UDP port for WireGuard peers.

import { sample, type MetricFamily, type Sample } from './metric-family.ts'

const HANDSHAKES = {
  proven: 'handshakesProven',
  answered: 'handshakesAnswered',
  invalid: 'handshakesInvalid',
  unknown_key: 'handshakesUnknownKey',
  refused: 'handshakesRefused',
  replayed: 'handshakesReplayed',
  over_budget: 'handshakesOverBudget',
  asked_for_cookie: 'handshakesAskedForCookie',
} as const

const PROBES = { sent: 'probesSent', answered: 'probesAnswered' } as const

const DROPS = {
  malformed: 'dropMalformed',
  stranger: 'dropStranger',
  no_link: 'dropNoLink',
  unknown_index: 'dropUnknownIndex',
  not_here: 'dropNotHere',
  rate: 'dropRate',
  unproven: 'dropUnproven',
  send_queue: 'dropSendQueue',
  thread_queue: 'dropThreadQueue',
  send_error: 'dropSendError',
} as const

type Table = Readonly<Record<string, LaneFigure>>

type LaneFigure =
  | (typeof HANDSHAKES)[keyof typeof HANDSHAKES]
  | (typeof PROBES)[keyof typeof PROBES]
  | (typeof DROPS)[keyof typeof DROPS]
  | 'receivedPackets'
  | 'receivedBytes'
  | 'sentToPeers'
  | 'sentToPeersBytes'
  | 'sentToRelay'
  | 'receivedFromRelay'
  | 'moves'
  | 'expired'
  | 'membersKnown'
  | 'membersHere'
  | 'routes'

export type LaneFigures = Readonly<Record<LaneFigure, number>>

/** Empty without a lane. */
export function laneFamilies(figures: LaneFigures | undefined): MetricFamily[] {
  if (figures === undefined) return []
  const by = (table: Table, label: string): Sample[] =>
    Object.entries(table).map(([name, figure]) => sample(figures[figure], { [label]: name }))
  return [
    gauge('derp_lane_members', 'Keys of the roster, and those of them that are on the lane now.', [
      sample(figures.membersKnown, { state: 'known' }),
      sample(figures.membersHere, { state: 'here' }),
    ]),
    gauge('derp_lane_session_indexes', 'Session indexes that packets between peers are told apart by.', [
      sample(figures.routes),
    ]),
    counter('derp_lane_packets_received_total', 'Packets received, by where they came from.', [
      sample(figures.receivedPackets, { from: 'udp' }),
      sample(figures.receivedFromRelay, { from: 'relay' }),
    ]),
    counter('derp_lane_packets_sent_total', "Peers' packets sent on, by where they went.", [
      sample(figures.sentToPeers, { to: 'udp' }),
      sample(figures.sentToRelay, { to: 'relay' }),
    ]),
    counter('derp_lane_bytes_received_total', 'Bytes received over UDP.', [sample(figures.receivedBytes)]),
    counter('derp_lane_bytes_sent_total', "Bytes of peers' packets sent over UDP.", [
      sample(figures.sentToPeersBytes),
    ]),
    counter('derp_lane_drops_total', 'Packets that were dropped, by reason.', by(DROPS, 'reason')),
    counter(
      'derp_lane_handshakes_total',
      'Handshakes with the lane itself, by result. A peer is registered when one is proven.',
      by(HANDSHAKES, 'result'),
    ),
    counter(
      'derp_lane_probes_total',
      'Handshakes that the lane began to learn whether a peer is at an address, and those that were answered.',
      by(PROBES, 'result'),
    ),
    counter('derp_lane_moves_total', 'Peers that have proven to be at another address than before.', [
      sample(figures.moves),
    ]),
    counter(
      'derp_lane_expired_total',
      'Peers that were silent for so long that they are not here any more.',
      [sample(figures.expired)],
    ),
  ]
}

function gauge(name: string, help: string, samples: Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples }
}

function counter(name: string, help: string, samples: Sample[]): MetricFamily {
  return { name, type: 'counter', help, samples }
}
