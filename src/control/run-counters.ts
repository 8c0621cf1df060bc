// What a relay has counted over all its runs: this run's own numbers, and those of the runs before it, which it is told of
// once a second and at their end. So counters of the metrics go on over an upgrade; gauges include an earlier run's for as
// long as it lives. Holds numbers only; who says them to whom is `earlier-run.ts` and `run-entrance.ts`. Runs on the control
// thread.

import { CarriedSeries } from '#ops/carried-series.ts'
import type { MetricFamily } from '#ops/metric-family.ts'
import type { StunNumbers } from '#ops/metrics.ts'
import { Counters, type CounterSnapshot } from '#relay/counters.ts'

/** This run's own numbers, now. */
export interface OwnNumbers {
  readonly threads: readonly Counters[]
  /** With those of earlier runs; undefined without STUN. */
  readonly stun: StunNumbers | undefined
  /** The families that go on in the next run beside those of the relay threads and STUN, with those of earlier runs. */
  readonly families: readonly MetricFamily[]
}

export class RunCounters {
  /** Of the relay threads of earlier runs. */
  readonly #carried = new Counters()
  /** What bridges of this run have dropped. */
  readonly bridged = new Counters()
  /** Of everything else that earlier runs have counted. */
  readonly series = new CarriedSeries()
  #earlierStun: CounterSnapshot = {}

  /** What is to be added to the counters of this run's threads. */
  get beside(): readonly Counters[] {
    return [this.#carried, this.bridged]
  }

  /** Clients of the run before this one. */
  get earlierClients(): number {
    return this.#carried.get('clientsCurrent')
  }

  withEarlierStun(stun: StunNumbers): StunNumbers {
    const named = Object.entries(stun).map(([name, count]) => [
      name,
      count + (this.#earlierStun[stunName(name)] ?? 0),
    ])
    return Object.fromEntries(named) as StunNumbers
  }

  /** The numbers of the run before this one, with those of the runs before it. */
  carry(snapshot: CounterSnapshot): void {
    this.#carried.restore(snapshot)
    this.series.restore(snapshot)
    this.#earlierStun = snapshot
  }

  /** The run before this one is not there any more, and nothing is that its gauges show. */
  earlierEnded(): void {
    this.#carried.clearGauges()
  }

  /** All that this run and those before it have counted. */
  snapshot({ threads, stun, families }: OwnNumbers): CounterSnapshot {
    const total = new Counters().sumOf([...threads, ...this.beside])
    const stunNumbers = Object.entries(stun ?? {}).map(([name, count]) => [stunName(name), count])
    return { ...total.snapshot(), ...Object.fromEntries(stunNumbers), ...CarriedSeries.snapshot(families) }
  }
}

function stunName(name: string): string {
  return `stun ${name}`
}
