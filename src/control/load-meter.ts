// What this relay carries now: clients, and bytes and packets per second between two readings of the relay threads'
// counters. Payload of clients only; what siblings send counts where it is delivered. Runs on the control thread.

import type { RelayLoad } from '#fleet/relay-state.ts'
import type { LoopTime } from '#ops/metrics.ts'
import type { Counters, PlainCounter } from '#relay/counters.ts'

export interface LoadMeterParts {
  readonly threads: {
    readonly counters: readonly Counters[]
    readLoopTimes(): readonly LoopTime[]
  }
  /** Monotonic milliseconds. */
  readonly now: () => number
}

interface Reading {
  readonly atMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly packetsIn: number
  readonly packetsOut: number
  readonly loops: readonly LoopTime[]
}

/** Rates over a shorter time are noise. */
const INTERVAL_MS_MIN = 500

export class LoadMeter {
  readonly #parts: LoadMeterParts
  #before: Reading
  #rates: RelayLoad = {}

  constructor(parts: LoadMeterParts) {
    this.#parts = parts
    this.#before = this.#take()
  }

  /** The load now; its rates are those since the last call that came long enough after another. */
  read(): RelayLoad {
    const reading = this.#take()
    const ms = reading.atMs - this.#before.atMs
    if (ms >= INTERVAL_MS_MIN) {
      this.#rates = ratesBetween(this.#before, reading)
      this.#before = reading
    }
    const clients = this.#sum('clientsCurrent') - this.#sum('siblingsCurrent')
    return {
      clients: Math.max(0, clients),
      homeClients: Math.max(0, this.#sum('clientsHome')),
      ...this.#rates,
    }
  }

  #take(): Reading {
    const sum = (...names: PlainCounter[]): number => names.reduce((all, name) => all + this.#sum(name), 0)
    return {
      atMs: this.#parts.now(),
      bytesIn: sum('receivedBytesData', 'receivedBytesDisco'),
      bytesOut: sum('sentBytesData', 'sentBytesDisco'),
      packetsIn: sum('receivedData', 'receivedDisco'),
      packetsOut: sum('sentData', 'sentDisco'),
      loops: this.#parts.threads.readLoopTimes(),
    }
  }

  #sum(name: PlainCounter): number {
    return this.#parts.threads.counters.reduce((sum, counters) => sum + counters.get(name), 0)
  }
}

function ratesBetween(before: Reading, after: Reading): RelayLoad {
  const perSecond = (name: 'bytesIn' | 'bytesOut' | 'packetsIn' | 'packetsOut'): number =>
    Math.max(0, Math.round(((after[name] - before[name]) * 1_000) / (after.atMs - before.atMs)))
  return {
    bytesInPerSecond: perSecond('bytesIn'),
    bytesOutPerSecond: perSecond('bytesOut'),
    packetsInPerSecond: perSecond('packetsIn'),
    packetsOutPerSecond: perSecond('packetsOut'),
    busiestThreadShare: busiestShare(before.loops, after.loops),
  }
}

/** To three decimals: more is noise, and makes messages longer. */
function busiestShare(before: readonly LoopTime[], after: readonly LoopTime[]): number {
  const shares = after.map(({ activeMs, idleMs }, at) => {
    const active = activeMs - (before[at]?.activeMs ?? 0)
    const all = active + idleMs - (before[at]?.idleMs ?? 0)
    return all <= 0 ? 0 : Math.min(1, Math.max(0, active / all))
  })
  return Math.round(Math.max(0, ...shares) * 1_000) / 1_000
}
