// What a relay has carried in the last ten minutes, for people who look at it: clients and bytes as a curve, and of the last
// minute the share of packets that were dropped and how long packets wait. From the relay threads' counters, read every two
// seconds. Rates that machines compare are metrics. Runs on the control thread.

import { HISTOGRAM_BOUNDS, type Counters } from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PacketKind } from '#relay/drop-reason.ts'

/** How often to look. A page that changes more often is restless. */
export const LOOK_MS = 2_000
/** Ten minutes. */
const LOOKS_MAX = 300
/** A rate over less time shows bursts that no link has to carry for long. */
const RATE_LOOKS = 5
const MINUTE_LOOKS = 30
/** Points of a curve: as many as a small chart can show. */
const POINTS_MAX = 60

/** Drops that say nothing about this relay: their destinations are nowhere. */
const NOT_OURS: ReadonlySet<number> = new Set([
  DropReason.unknownDestination,
  DropReason.unknownDestinationForwarded,
])

interface Look {
  readonly atMs: number
  readonly clients: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly packetsOut: number
  readonly dropped: number
  /** By bucket of the histogram. */
  readonly waits: readonly number[]
}

/** A point of the curve. */
export interface LoadPoint {
  readonly clients: number
  /** In and out. */
  readonly bytesPerSecond: number
}

export interface LoadNumbers {
  readonly clients: number
  readonly homeClients: number
  /** Of clients and siblings, mean of ten seconds. */
  readonly bytesInPerSecond: number
  readonly bytesOutPerSecond: number
  readonly packetsInPerSecond: number
  readonly packetsOutPerSecond: number
  /** Of the last minute; undefined if no packet came. */
  readonly dropRatio: number | undefined
  /** The 99th percentile of the last minute; undefined if none was sent. */
  readonly queueP99Ms: number | undefined
  /** The last ten minutes, oldest first. */
  readonly curve: readonly LoadPoint[]
}

export class RecentLoad {
  readonly #threads: readonly Counters[]
  readonly #looks: Look[] = []

  constructor(threads: readonly Counters[]) {
    this.#threads = threads
  }

  /** To be called every LOOK_MS. @param nowMs monotonic */
  look(nowMs: number): void {
    this.#looks.push(this.#take(nowMs))
    if (this.#looks.length > LOOKS_MAX + 1) this.#looks.shift()
  }

  read(): LoadNumbers {
    const last = this.#looks.at(-1)
    const none = { bytesInPerSecond: 0, bytesOutPerSecond: 0, packetsInPerSecond: 0, packetsOutPerSecond: 0 }
    const minute = last && this.#before(MINUTE_LOOKS)
    return {
      clients: this.#clients,
      homeClients: Math.max(
        0,
        this.#sum((counters) => counters.get('clientsHome')),
      ),
      ...(last === undefined ? none : ratesBetween(this.#before(RATE_LOOKS) ?? last, last)),
      dropRatio: minute && ratioOf(last.dropped - minute.dropped, last.packetsIn - minute.packetsIn),
      queueP99Ms: minute && p99Ms(last.waits.map((count, at) => count - (minute.waits[at] ?? 0))),
      curve: this.#curve,
    }
  }

  /** The look so many looks ago, or the oldest. */
  #before(looks: number): Look | undefined {
    return this.#looks[Math.max(0, this.#looks.length - 1 - looks)]
  }

  get #curve(): readonly LoadPoint[] {
    const step = Math.ceil(LOOKS_MAX / POINTS_MAX)
    const points: LoadPoint[] = []
    for (let at = this.#looks.length - 1; at >= step; at -= step) {
      const [from, to] = [this.#looks[at - step], this.#looks[at]]
      if (from === undefined || to === undefined) break
      const { bytesInPerSecond, bytesOutPerSecond } = ratesBetween(from, to)
      points.unshift({ clients: to.clients, bytesPerSecond: bytesInPerSecond + bytesOutPerSecond })
    }
    return points
  }

  get #clients(): number {
    return Math.max(
      0,
      this.#sum((counters) => counters.get('clientsCurrent') - counters.get('siblingsCurrent')),
    )
  }

  #take(atMs: number): Look {
    const sum = this.#sum.bind(this)
    return {
      atMs,
      clients: this.#clients,
      bytesIn: sum((counters) => counters.get('receivedBytesData') + counters.get('receivedBytesDisco')),
      bytesOut: sum(
        (counters) =>
          counters.get('sentBytesData') + counters.get('sentBytesDisco') + counters.get('forwardedOutBytes'),
      ),
      packetsIn: sum(
        (counters) =>
          counters.get('receivedData') + counters.get('receivedDisco') + counters.get('forwardedIn'),
      ),
      packetsOut: sum(
        (counters) => counters.get('sentData') + counters.get('sentDisco') + counters.get('forwardedOut'),
      ),
      dropped: sum(droppedBy),
      waits: [...HISTOGRAM_BOUNDS.queueDelay, Infinity].map((_, at) =>
        sum((counters) => counters.histogram('queueDelay').counts[at] ?? 0),
      ),
    }
  }

  #sum(read: (counters: Counters) => number): number {
    return this.#threads.reduce((all, counters) => all + read(counters), 0)
  }
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

type Rates = Pick<
  LoadNumbers,
  'bytesInPerSecond' | 'bytesOutPerSecond' | 'packetsInPerSecond' | 'packetsOutPerSecond'
>

function ratesBetween(from: Look, to: Look): Rates {
  const ms = Math.max(1, to.atMs - from.atMs)
  const rate = (read: (look: Look) => number): number => (1_000 * Math.max(0, read(to) - read(from))) / ms
  return {
    bytesInPerSecond: rate(({ bytesIn }) => bytesIn),
    bytesOutPerSecond: rate(({ bytesOut }) => bytesOut),
    packetsInPerSecond: rate(({ packetsIn }) => packetsIn),
    packetsOutPerSecond: rate(({ packetsOut }) => packetsOut),
  }
}

function ratioOf(part: number, all: number): number | undefined {
  return all <= 0 ? undefined : Math.min(1, Math.max(0, part / all))
}

/** Within a bucket, waits are taken for evenly spread. Beyond the last bound it is the least that is certain. */
function p99Ms(counts: readonly number[]): number | undefined {
  const bounds: readonly number[] = HISTOGRAM_BOUNDS.queueDelay
  const all = counts.reduce((sum, count) => sum + Math.max(0, count), 0)
  if (all === 0) return undefined
  let left = 0.99 * all
  for (const [at, count] of counts.entries()) {
    const lower = bounds[at - 1] ?? 0
    if (count >= left) return 1_000 * (lower + ((bounds[at] ?? lower) - lower) * (left / count))
    left -= Math.max(0, count)
  }
  return 1_000 * (bounds.at(-1) ?? 0)
}
