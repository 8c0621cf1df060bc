// HTTP pages beside packets: 64 connections request pages as fast as the relay responds while it carries half of its
// clean rate. bench/http measures the pages; this figure adds the effect on the packets.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { measurePagesUnderLoad, type LoadedPageResult } from '../http/measure-pages.ts'
import { pageName } from '../http/page-table.ts'
import { lossOf } from '../load/load.ts'
import type { LoadOutcome } from '../load/outcome.ts'
import { withOwnTarget } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { DERPFLEET } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

const LATENCY_CHECK = '/derp/latency-check'
/** Time for the generator to log in and reach its rate before autocannon starts on the same processor. */
const STEADY_MS = 1_500

async function round(bench: Bench, rate: number): Promise<LoadedPageResult<LoadOutcome>[]> {
  const server = bench.ours
  if (server === undefined) return []
  const { host, port } = server.address
  const addresses = {
    derp: `https://${host}:${port}`,
    ...(server.adminPort === undefined ? {} : { admin: `http://${host}:${server.adminPort}` }),
  }
  const durationMs = bench.effort.seconds * 1000
  return measurePagesUnderLoad(
    { addresses, durationMs, cpu: Number(bench.cpuSets.generator) },
    async (window) => {
      const running = bench.runLoad(
        server,
        bench.load(rate, 10, {
          seconds: window.durationMs / 1000,
          warmSeconds: STEADY_MS / 1000,
          // autocannon uses the same processor.
          sleeps: true,
        }),
      )
      setTimeout(() => window.isSteady(), STEADY_MS)
      return running
    },
  )
}

export const http: Figure = {
  name: 'http',
  title: 'Pages beside packets',
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rate = (await knownCleanRate(bench, bench.ours)) / 2
    const rounds: LoadedPageResult<LoadOutcome>[][] = []
    for (let i = 0; i < Math.min(bench.effort.rounds, 2); i++) {
      bench.progress.step(`round ${i + 1}`)
      rounds.push(await round(bench, rate))
    }
    const rows: Row[] = []
    for (const [at, first] of (rounds[0] ?? []).entries()) {
      const page = rounds.map((figures) => figures[at] ?? first)
      const own = (of: (figures: LoadedPageResult<LoadOutcome>) => number) => ({
        [DERPFLEET]: sampleOf(page.map(of)),
      })
      const errors: Row = {
        label: `${pageName(first)}: errors`,
        unit: '',
        digits: 0,
        samples: own((figures) => figures.errors + figures.timeouts + figures.non2xx + figures.unanswered),
      }
      const lost: Row = {
        label: '– packets lost meanwhile',
        unit: '%',
        digits: 3,
        samples: own(({ load }) => 100 * lossOf(load)),
      }
      const isTarget = first.page.path === LATENCY_CHECK
      rows.push(
        isTarget ? withOwnTarget(errors, '0', (median) => median === 0) : errors,
        isTarget ? withOwnTarget(lost, '< 0.1 %', (median) => median < 0.1) : lost,
        { label: '– requests', unit: '1/s', digits: 0, samples: own((figures) => figures.requestsPerSecond) },
        {
          label: '– p99',
          unit: 'ms',
          digits: 1,
          samples: own((figures) => figures.latencyMs?.p99 ?? Number.NaN),
        },
      )
    }
    return {
      rows,
      notes: [
        `autocannon with 64 connections, as fast as the relay responds, on the generator's processor, while 10 pairs send ${Math.round(rate)} packets/s: half of ${DERPFLEET}'s clean rate.`,
      ],
    }
  },
}
