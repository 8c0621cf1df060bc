// CPU time per delivered frame: at the clean rate of the reference server, at half of it, and for small frames of which
// several share a record.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { cpuUsPerFrame, lossOf, type Load } from '../load/load.ts'
import { rowOf, withBounds, type Bound } from '../row.ts'
import { DERPER, DERPFLEET } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

/** CPU time is measured in ticks of 10 ms: half a percent of a window of 6 s at 30 % load. */
const SECONDS = 6

/** With the longest poll rounds, which cost least, whatever the default is. */
const LONG_ROUNDS = 'derpfleet-1ms'

async function cost(bench: Bench, label: string, load: Load): Promise<{ cpu: Row; loss: Row }> {
  bench.progress.step(label)
  const measured = await bench.interleaved(bench.servers, (server) => bench.runLoad(server, load))
  return {
    cpu: rowOf({ label, unit: 'µs/frame', digits: 2 }, measured, cpuUsPerFrame),
    loss: rowOf({ label: '– lost', unit: '%', digits: 2 }, measured, (outcome) => 100 * lossOf(outcome)),
  }
}

export const cpuPerFrame: Figure = {
  name: 'cpu-per-frame',
  title: 'CPU per delivered frame',
  async measure(bench) {
    const clean = await knownCleanRate(bench, bench.reference)
    const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
    const rows: Row[] = []
    for (const [what, rate, bound] of [
      ['clean rate', clean, { server: DERPER, atMost: 0.8 }],
      ['half of it', clean / 2, { of: LONG_ROUNDS, server: DERPER, atMost: 0.45 }],
    ] as const satisfies readonly (readonly [string, number, Bound])[]) {
      const label = `1420 B, 10 pairs, ${bench.reference.name}'s ${what} (${Math.round(rate)}/s)`
      const { cpu, loss } = await cost(bench, label, bench.load(rate, 10, { seconds }))
      rows.push(withBounds(cpu, bound), loss)
    }
    const small = bench.load(60_000, 10, { size: 128, batch: 16, seconds })
    const { cpu, loss } = await cost(bench, '128 B, 16 to a record, 60000/s', small)
    rows.push(withBounds(cpu, { server: DERPER, atMost: 0.7 }), loss)
    return {
      rows,
      notes: [
        `User and system time of all threads of the server's process over a window of ${seconds} s, divided by the frames that arrived in it.`,
        `The target at half of the clean rate is for poll rounds of 1 ms, which ${LONG_ROUNDS} has; ${DERPFLEET} has those that are its default.`,
      ],
    }
  },
}
