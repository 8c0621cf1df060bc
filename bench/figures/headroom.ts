// Headroom as the relay says it, beside the clean rate that the generator then reaches in the same run: at a part of that
// rate, what the relay takes for its busiest thread's limit is divided by the clean rate.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { roughCleanRate } from './clean-rate.ts'

const PAIRS = [10, 100]
const PARTS = [0.25, 0.5, 0.75]
/** The relay needs a few seconds of a load to judge by. */
const SECONDS = 12
const ERROR_MAX = 0.15

interface Quality {
  readonly headroom: { readonly threadLoad: { readonly packetsMaxPerSecond: number } | null }
}

/** The packets per second that the relay takes for its limit, towards the end of a load. */
async function saidLimit(bench: Bench, server: Server, rate: number, pairs: number): Promise<number> {
  const load = bench.load(rate, pairs, { seconds: SECONDS, warmSeconds: 1 })
  const running = bench.runLoad(server, load)
  await sleep(1_000 * SECONDS)
  const answer = await fetch(`http://127.0.0.1:${server.adminPort ?? 0}/quality`)
  const { headroom } = (await answer.json()) as Quality
  await running
  return headroom.threadLoad?.packetsMaxPerSecond ?? Number.NaN
}

async function rowsFor(bench: Bench, ours: Server, pairs: number): Promise<Row[]> {
  const reference = await roughCleanRate(bench, ours, pairs)
  // A relay that has seen no other load: what it knows is what the loads here have shown it.
  return await bench.withFresh(DERPFLEET, {}, async (server) => {
    const said: number[] = []
    for (const part of PARTS) {
      bench.progress.step(`${pairs} pairs at ${part} of the clean rate`)
      said.push(await saidLimit(bench, server, part * reference, pairs))
    }
    const clean = await roughCleanRate(bench, server, pairs)
    const shown = { unit: 'packets/s', digits: 0 }
    return [
      ownRow({ label: `clean rate, ${pairs} pairs`, ...shown }, [clean]),
      ...PARTS.flatMap((part, i) => {
        const limit = said[i] ?? Number.NaN
        const ratio = ownRow({ label: '– divided by the clean rate', unit: '×', digits: 2 }, [limit / clean])
        return [
          ownRow({ label: `limit as the relay says it at ${part} of the clean rate`, ...shown }, [limit]),
          withOwnTarget(ratio, '0.85 to 1.15', (median) => Math.abs(median - 1) <= ERROR_MAX),
        ]
      }),
    ]
  })
}

export const headroom: Figure = {
  name: 'headroom',
  title: 'Headroom as the relay says it, and the clean rate',
  isSeparate: true,
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rows: Row[] = []
    for (const pairs of PAIRS) rows.push(...(await rowsFor(bench, bench.ours, pairs)))
    return {
      rows,
      notes: [
        `The relay is asked after ${SECONDS} s of each load. The clean rate is that of a rough search, in steps of 5 %, with the same relay and the same pairs, after those loads.`,
      ],
    }
  },
}
