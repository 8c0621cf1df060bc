// Delay of interactive traffic beside a load: a probe of 64-byte packets, 1,000 per second, on its own connections and
// in a process with real-time priority.

import type { Figure, Row, Series } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { cpuUsPerFrame, probeLoad } from '../load/load.ts'
import { rowOf, withBounds, withOwnTarget } from '../row.ts'
import { DERPER } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

const SHARES = [0.25, 0.5, 0.75, 1]
const PERCENTILES = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const
/** A lone packet's, beside any load. */
const MEDIAN_MS_MAX = 0.25
/** Beside little load, a packet keeps the relay's only thread busy, while Go has others that may run. */
const LITTLE_SHARE = 0.25
/** Of the connections that a busy relay polls. */
const LOAD_PERCENTILES = PERCENTILES.slice(0, 2)
/** Ten thousand packets per round, so that ten of them are above p99.9. */
const SECONDS = 10

function withTarget(row: Row, percentile: string, share: number): Row {
  if (percentile === 'p50')
    return withOwnTarget(row, `≤ ${MEDIAN_MS_MAX} ms`, (median) => median <= MEDIAN_MS_MAX)
  const atMost = percentile === 'p99' && share === LITTLE_SHARE ? 1.5 : 1
  return withBounds(row, { server: DERPER, atMost })
}

export const probeDelay: Figure = {
  name: 'probe-delay',
  title: 'Delay of a 64-byte probe beside a load',
  async measure(bench) {
    const clean = await knownCleanRate(bench, bench.reference)
    const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
    const { warmSeconds } = bench.effort
    const rows: Row[] = []
    const points = new Map<string, Record<string, [number, number][]>>(
      PERCENTILES.map(([name]) => [name, {}]),
    )
    for (const share of SHARES) {
      const rate = share * clean
      const label = `${100 * share} % of ${bench.reference.name}'s clean rate`
      bench.progress.step(label)
      const measured = await bench.interleaved(bench.servers, async (server) => {
        const [load, probe] = await bench.runLoads(server, [
          bench.load(rate, 10, { seconds }),
          probeLoad(seconds, warmSeconds),
        ])
        return { load, probe }
      })
      for (const [name, percentile] of PERCENTILES) {
        const row = rowOf({ label: `${label}: ${name}`, unit: 'ms', digits: 3 }, measured, ({ probe }) =>
          probe === undefined ? Number.NaN : delayMs(probe.delays, percentile),
        )
        rows.push(withTarget(row, name, share))
        const series = points.get(name) ?? {}
        for (const [server, { median }] of Object.entries(row.samples))
          (series[server] ??= []).push([rate, median])
      }
      for (const [name, percentile] of LOAD_PERCENTILES) {
        rows.push(
          rowOf({ label: `– packets of the load: ${name}`, unit: 'ms', digits: 3 }, measured, ({ load }) =>
            load === undefined ? Number.NaN : delayMs(load.delays, percentile),
          ),
        )
      }
      const cpu = rowOf({ label: '– CPU time of a packet', unit: 'µs', digits: 2 }, measured, ({ load }) =>
        load === undefined ? Number.NaN : cpuUsPerFrame(load),
      )
      rows.push(withBounds(cpu, { server: DERPER, atMost: 0.6 }))
    }
    const series: Series[] = [...points].map(([name, byServer]) => ({
      name: `probe-${name}`,
      points: byServer,
    }))
    return {
      rows,
      series,
      notes: [
        `One way, from the time at which a packet was due. The load is 10 pairs of 1420-byte packets; each round is ${seconds} s.`,
      ],
    }
  },
}
