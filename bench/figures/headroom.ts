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

/** Of a load, for what the limit is derived from: after so many seconds the rate is steady. */
const STEADY_SECONDS = 3

interface Quality {
  readonly headroom: {
    readonly threadLoad: { readonly packetsMaxPerSecond: number; readonly busyShare: number } | null
  }
}

/** What a relay says of a load, and what it derives that from. */
interface Said {
  readonly limit: number
  readonly busyShare: number
  readonly writesPerPacket: number
}

interface Totals {
  readonly writes: number
  readonly packets: number
}

async function totalsOf(admin: string): Promise<Totals> {
  const page = await (await fetch(`${admin}/metrics`)).text()
  const total = (name: string): number =>
    [...page.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    )
  return { writes: total('derp_send_queue_delay_seconds_count'), packets: total('derp_sent_packets_total') }
}

/** What the relay takes for its limit, towards the end of a load. */
async function saidOf(bench: Bench, server: Server, rate: number, [pairs, size]: Kind): Promise<Said> {
  const load = bench.load(rate, pairs, { seconds: SECONDS, warmSeconds: 1, size })
  const admin = `http://127.0.0.1:${server.adminPort ?? 0}`
  const running = bench.runLoad(server, load)
  await sleep(1_000 * STEADY_SECONDS)
  const before = await totalsOf(admin)
  await sleep(1_000 * (SECONDS - STEADY_SECONDS))
  const after = await totalsOf(admin)
  const { headroom } = (await (await fetch(`${admin}/quality`)).json()) as Quality
  await running
  return {
    limit: headroom.threadLoad?.packetsMaxPerSecond ?? Number.NaN,
    busyShare: headroom.threadLoad?.busyShare ?? Number.NaN,
    writesPerPacket: (after.writes - before.writes) / (after.packets - before.packets),
  }
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
      const { limit, busyShare, writesPerPacket } = await saidOf(bench, server, part * clean, kind)
      const ratio = ownRow({ label: '– divided by the clean rate', unit: '×', digits: 2 }, [limit / clean])
      rows.push(
        ownRow({ label: `limit as the relay says it at ${part} of the clean rate`, ...shown }, [limit]),
        withOwnTarget(ratio, '0.85 to 1.15', (median) => Math.abs(median - 1) <= ERROR_MAX),
        ownRow({ label: '– busy share', unit: '', digits: 2 }, [busyShare]),
        ownRow({ label: '– writes per packet', unit: '', digits: 3 }, [writesPerPacket]),
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
