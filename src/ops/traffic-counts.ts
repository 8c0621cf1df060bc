// What a relay has carried since its start, summed over the relay threads' counters at one moment; and rates between two such
// moments. The one place that says which counters are traffic with clients, and which with siblings. Payload without frame
// headers and keys. Runs on the control thread.

import { HISTOGRAM_BOUNDS, type Counters, type PlainCounter } from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PacketKind } from '#relay/drop-reason.ts'

/** Drops that say nothing about this relay: their destinations are nowhere. */
const NOT_OURS: ReadonlySet<number> = new Set([
  DropReason.unknownDestination,
  DropReason.unknownDestinationForwarded,
])

/** Packets that have arrived and left, and their bytes. */
export interface Flow {
  readonly packetsIn: number
  readonly bytesIn: number
  readonly packetsOut: number
  readonly bytesOut: number
}

export interface TrafficCounts {
  /** From clients and to clients, also what came over a sibling: in a sum over the fleet, each packet counts once. */
  readonly clients: Flow
  /** With clients and over links: what this relay has to carry. Bytes that siblings forward to it are counted on their way out. */
  readonly all: Flow
  readonly dropped: number
  /** How many packets waited how long, by bucket of the histogram. */
  readonly waits: readonly number[]
}

export function trafficCounts(threads: readonly Counters[]): TrafficCounts {
  const sum = (...names: readonly PlainCounter[]): number =>
    sumOver(threads, (counters) => names.reduce((all, name) => all + counters.get(name), 0))
  const clients = {
    packetsIn: sum('receivedData', 'receivedDisco'),
    bytesIn: sum('receivedBytesData', 'receivedBytesDisco'),
    packetsOut: sum('sentData', 'sentDisco'),
    bytesOut: sum('sentBytesData', 'sentBytesDisco'),
  }
  return {
    clients,
    all: {
      packetsIn: clients.packetsIn + sum('forwardedIn'),
      bytesIn: clients.bytesIn,
      packetsOut: clients.packetsOut + sum('forwardedOut'),
      bytesOut: clients.bytesOut + sum('forwardedOutBytes'),
    },
    dropped: sumOver(threads, droppedBy),
    waits: [...HISTOGRAM_BOUNDS.queueDelay, Infinity].map((_, at) =>
      sumOver(threads, (counters) => counters.histogram('queueDelay').counts[at] ?? 0),
    ),
  }
}

/** Clients that are connected now, siblings not among them, and those whose home this relay is. */
export function clientCounts(threads: readonly Counters[]): {
  readonly clients: number
  readonly homeClients: number
} {
  const sum = (name: PlainCounter): number => sumOver(threads, (counters) => counters.get(name))
  // Threads count one after the other, so that a sum may be negative for a moment.
  return {
    clients: Math.max(0, sum('clientsCurrent') - sum('siblingsCurrent')),
    homeClients: Math.max(0, sum('clientsHome')),
  }
}

export interface FlowRates {
  readonly packetsInPerSecond: number
  readonly bytesInPerSecond: number
  readonly packetsOutPerSecond: number
  readonly bytesOutPerSecond: number
}

export function ratesBetween(from: Flow, to: Flow, ms: number): FlowRates {
  const rate = (name: keyof Flow): number => (1_000 * Math.max(0, to[name] - from[name])) / Math.max(1, ms)
  return {
    packetsInPerSecond: rate('packetsIn'),
    bytesInPerSecond: rate('bytesIn'),
    packetsOutPerSecond: rate('packetsOut'),
    bytesOutPerSecond: rate('bytesOut'),
  }
}

function sumOver(threads: readonly Counters[], read: (counters: Counters) => number): number {
  return threads.reduce((all, counters) => all + read(counters), 0)
}

function droppedBy(counters: Counters): number {
  return DROP_REASON_LABELS.reduce((all, _, at) => {
    const reason = at as DropReason
    if (NOT_OURS.has(reason)) return all
    return (
      all +
      counters.droppedPackets(reason, PacketKind.data) +
      counters.droppedPackets(reason, PacketKind.disco)
    )
  }, 0)
}
