// Headroom as the relay says it, beside the clean rate of the same run, with several numbers of pairs and sizes of packets: at
// a part of that rate, what the relay takes for its busiest thread's limit is divided by the clean rate.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { roughCleanRate } from './clean-rate.ts'

/** Pairs, and bytes of a packet. */
const KINDS: readonly (readonly [pairs: number, size: number])[] = [
  [10, 1420],
  [100, 1420],
  [10, 300],
  [100, 300],
]
const PARTS = [0.25, 0.5, 0.75]
/** The relay needs a few seconds of a load to judge by. */
const SECONDS = 10
const ERROR_MAX = 0.15

interface Quality {
  readonly headroom: { readonly threadLoad: { readonly packetsMaxPerSecond: number } | null }
}

/** The packets per second that the relay takes for its limit, towards the end of a load. */
async function saidLimit(bench: Bench, server: Server, rate: number, [pairs, size]: Kind): Promise<number> {
  const load = bench.load(rate, pairs, { seconds: SECONDS, warmSeconds: 1, size })
  const running = bench.runLoad(server, load)
  await sleep(1_000 * SECONDS)
  const answer = await fetch(`http://127.0.0.1:${server.adminPort ?? 0}/quality`)
  const { headroom } = (await answer.json()) as Quality
  await running
  return headroom.threadLoad?.packetsMaxPerSecond ?? Number.NaN
}

type Kind = (typeof KINDS)[number]

async function rowsFor(bench: Bench, ours: Server, kind: Kind): Promise<Row[]> {
  const [pairs, size] = kind
  const clean = await roughCleanRate(bench, ours, pairs, { size })
  // A relay that has seen no other load: what it knows is what the loads here have shown it.
  return await bench.withFresh(DERPFLEET, {}, async (server) => {
    const shown = { unit: 'packets/s', digits: 0 }
    const rows = [ownRow({ label: `clean rate, ${pairs} pairs, ${size} bytes`, ...shown }, [clean])]
    for (const part of PARTS) {
      bench.progress.step(`${pairs} pairs, ${size} bytes at ${part} of the clean rate`)
      const limit = await saidLimit(bench, server, part * clean, kind)
      const ratio = ownRow({ label: '– divided by the clean rate', unit: '×', digits: 2 }, [limit / clean])
      rows.push(
        ownRow({ label: `limit as the relay says it at ${part} of the clean rate`, ...shown }, [limit]),
        withOwnTarget(ratio, '0.85 to 1.15', (median) => Math.abs(median - 1) <= ERROR_MAX),
      )
    }
    return rows
  })
}

export const headroom: Figure = {
  name: 'headroom',
  title: 'Headroom as the relay says it, and the clean rate',
  isSeparate: true,
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rows: Row[] = []
    for (const kind of KINDS) rows.push(...(await rowsFor(bench, bench.ours, kind)))
    return {
      rows,
      notes: [
        `A fresh relay is asked after ${SECONDS} s of each load. The clean rate is that of a rough search, in steps of 5 %, just before those loads.`,
      ],
    }
  },
}
