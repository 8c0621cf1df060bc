// What a bridge says of itself: as JSON for `derpfleet bridge status`, and as metrics.

import { hostPortText } from '#protocol/host-port.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { Bridge } from './bridge.ts'
import type { DirectSide } from './direct-side.ts'
import type { BridgePeer } from './bridge-peer.ts'

export interface PeerStatus {
  readonly name: string
  readonly key: string
  /** `none`: its WireGuard has no endpoint yet. */
  readonly way: 'native' | 'direct' | 'relay' | 'none'
  /** Whether this side decides. */
  readonly isSteered: boolean
  /** Seconds since the way was taken; only of a steered peer. */
  readonly seconds?: number
  readonly switches?: number
  /** Whether the other bridge has told something within the last minute. */
  readonly isBridgeHeard: boolean
  /** Where the VPN of this host sends to. */
  readonly listen: string
  readonly flows: number
  readonly packetsToRelay: number
  readonly packetsFromRelay: number
  readonly bytesToRelay: number
  readonly bytesFromRelay: number
  /** Only while there is a direct way between the bridges; WireGuard itself may use it, which is then `native`. */
  readonly direct?: {
    /** Of the other bridge. */
    readonly address: string
    /** Larger packets take the relay. */
    readonly bytesMax: number
    readonly roundTripMs: number
  }
  readonly bytesDirectOut: number
  readonly bytesDirectIn: number
  /** Because the queue to the relay was full, or the relay away. */
  readonly droppedToRelay: number
  /** Because nobody knows where the VPN is. */
  readonly droppedFromRelay: number
}

export interface BridgeStatus {
  readonly name: string
  readonly key: string
  readonly mode: string
  readonly startedAt: string
  readonly isConnected: boolean
  readonly connects: number
  /** Packets of keys that are no peers'. */
  readonly droppedUnknown: number
  /** Why WireGuard cannot be asked. */
  readonly problem?: string
  readonly peers: readonly PeerStatus[]
}

const HEARD_MS_MAX = 60_000

export function statusOf(bridge: Bridge): BridgeStatus {
  const { settings, lookFailure } = bridge
  return {
    name: settings.name,
    key: publicKeyText(settings.key.publicKey),
    mode: settings.mode,
    startedAt: bridge.startedAt.toISOString(),
    isConnected: bridge.isConnected,
    connects: bridge.connects,
    droppedUnknown: bridge.droppedUnknown,
    ...(lookFailure === undefined ? {} : { problem: lookFailure }),
    peers: bridge.peers.map(peerStatus),
  }
}

function peerStatus(peer: BridgePeer): PeerStatus {
  const { settings, counters, queue, steering, heardMs, direct } = peer
  const nowMs = performance.now()
  return {
    name: settings.name,
    key: publicKeyText(settings.key),
    way: peer.way,
    isSteered: steering !== undefined,
    ...(steering === undefined
      ? {}
      : { seconds: Math.round((nowMs - steering.sinceMs) / 1_000), switches: steering.switches }),
    isBridgeHeard: heardMs !== undefined && nowMs - heardMs < HEARD_MS_MAX,
    listen: hostPortText(settings.listen.host, peer.port),
    flows: peer.flowCount,
    packetsToRelay: counters.packetsOut,
    packetsFromRelay: counters.packetsIn,
    bytesToRelay: counters.bytesOut,
    bytesFromRelay: counters.bytesIn,
    ...(direct?.path === undefined ? {} : { direct: directStatus(direct.path) }),
    bytesDirectOut: direct?.counters.bytesOut ?? 0,
    bytesDirectIn: direct?.counters.bytesIn ?? 0,
    droppedToRelay: queue.dropped,
    droppedFromRelay: counters.droppedIn,
  }
}

function directStatus({
  to,
  bytesMax,
  rttMs,
}: NonNullable<DirectSide['path']>): NonNullable<PeerStatus['direct']> {
  return { address: to, bytesMax, roundTripMs: Math.round(rttMs * 10) / 10 }
}

interface Metric {
  readonly name: string
  readonly kind: 'counter' | 'gauge'
  readonly help: string
  /** Of the bridge, or of each peer. */
  readonly value: ((status: BridgeStatus) => number) | { readonly ofPeer: (peer: PeerStatus) => number }
}

const METRICS: readonly Metric[] = [
  {
    name: 'derp_bridge_connected',
    kind: 'gauge',
    help: 'Whether the bridge is connected to a relay',
    value: ({ isConnected }) => Number(isConnected),
  },
  {
    name: 'derp_bridge_connects_total',
    kind: 'counter',
    help: 'Connections to relays so far',
    value: ({ connects }) => connects,
  },
  {
    name: 'derp_bridge_unknown_packets_total',
    kind: 'counter',
    help: 'Packets of keys that are no peers, dropped unread',
    value: ({ droppedUnknown }) => droppedUnknown,
  },
  {
    name: 'derp_bridge_peer_on_relay',
    kind: 'gauge',
    help: 'Whether the packets of the peer take the relay',
    value: { ofPeer: ({ way }) => Number(way === 'relay') },
  },
  {
    name: 'derp_bridge_peer_direct',
    kind: 'gauge',
    help: 'Whether the packets of the peer go through a hole in NATs, past the relay',
    value: { ofPeer: ({ way, direct }) => Number(way !== 'relay' && direct !== undefined) },
  },
  {
    name: 'derp_bridge_peer_switches_total',
    kind: 'counter',
    help: 'Changes of the way of the peer, there and back',
    value: { ofPeer: ({ switches = 0 }) => switches },
  },
  {
    name: 'derp_bridge_peer_bytes_total{direction="to_relay"}',
    kind: 'counter',
    help: 'Bytes of the VPN carried for the peer',
    value: { ofPeer: ({ bytesToRelay }) => bytesToRelay },
  },
  {
    name: 'derp_bridge_peer_bytes_total{direction="from_relay"}',
    kind: 'counter',
    help: 'Bytes of the VPN carried for the peer',
    value: { ofPeer: ({ bytesFromRelay }) => bytesFromRelay },
  },
  {
    name: 'derp_bridge_peer_bytes_total{direction="direct_out"}',
    kind: 'counter',
    help: 'Bytes of the VPN carried for the peer',
    value: { ofPeer: ({ bytesDirectOut }) => bytesDirectOut },
  },
  {
    name: 'derp_bridge_peer_bytes_total{direction="direct_in"}',
    kind: 'counter',
    help: 'Bytes of the VPN carried for the peer',
    value: { ofPeer: ({ bytesDirectIn }) => bytesDirectIn },
  },
  {
    name: 'derp_bridge_peer_dropped_packets_total{direction="to_relay"}',
    kind: 'counter',
    help: 'Packets for the peer that were dropped: the queue was full or the relay away, or the port of the VPN was not known',
    value: { ofPeer: ({ droppedToRelay }) => droppedToRelay },
  },
  {
    name: 'derp_bridge_peer_dropped_packets_total{direction="from_relay"}',
    kind: 'counter',
    help: 'Packets for the peer that were dropped: the queue was full or the relay away, or the port of the VPN was not known',
    value: { ofPeer: ({ droppedFromRelay }) => droppedFromRelay },
  },
]

/** A page in Prometheus' text format. */
export function metricsPage(status: BridgeStatus): string {
  const lines: string[] = []
  let described = ''
  for (const { name, kind, help, value } of METRICS) {
    const [family = '', labels] = name.split('{')
    if (family !== described) lines.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${kind}`)
    described = family
    if (typeof value === 'function') {
      lines.push(`${name} ${value(status)}`)
      continue
    }
    for (const peer of status.peers) {
      const more = labels === undefined ? '}' : `,${labels}`
      lines.push(`${family}{peer=${JSON.stringify(peer.name)}${more} ${value.ofPeer(peer)}`)
    }
  }
  return `${lines.join('\n')}\n`
}
