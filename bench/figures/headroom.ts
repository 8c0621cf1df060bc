// Headroom as the relay says it, beside the clean rate that is found right after it, with several numbers of pairs and sizes of
// packets: at a part of a rough clean rate, what the relay takes for its busiest thread's limit is divided by the clean rate then.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { cleanRateNear, roughCleanRate } from './clean-rate.ts'

/** Pairs, and bytes of a packet. */
const KINDS: readonly (readonly [pairs: number, size: number])[] = [
  [10, 1420],
  [100, 1420],
  [10, 300],
  [100, 300],
]
const PARTS = [0.25, 0.5, 0.75]
/** The first seconds of a fresh relay cost more than those after them, and the relay forgets half of what it saw in six seconds. */
const SECONDS = 16
/** A relay that was asked before the search is asked again after it: a processor of a virtual machine changes meanwhile. */
const SECONDS_AGAIN = 10
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

interface Asked {
  readonly rate: number
  readonly kind: Kind
  readonly seconds: number
}

/** What the relay takes for its limit, towards the end of a load. */
async function saidOf(bench: Bench, server: Server, { rate, kind, seconds }: Asked): Promise<Said> {
  const [pairs, size] = kind
  const load = bench.load(rate, pairs, { seconds, warmSeconds: 1, size })
  const admin = `http://127.0.0.1:${server.adminPort ?? 0}`
  const running = bench.runLoad(server, load)
  await sleep(1_000 * STEADY_SECONDS)
  const before = await totalsOf(admin)
  await sleep(1_000 * (seconds - STEADY_SECONDS))
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

/** Rounds of one load: a processor of a virtual machine has slow minutes. */
const ROUNDS_MIN = 3

async function rowsFor(bench: Bench, ours: Server, kind: Kind): Promise<Row[]> {
  const [pairs, size] = kind
  const clean = await roughCleanRate(bench, ours, pairs, { size })
  const shown = { unit: 'packets/s', digits: 0 }
  const rows = [ownRow({ label: `clean rate, ${pairs} pairs, ${size} bytes`, ...shown }, [clean])]
  const byPart = new Map<number, { said: Said; reached: number }[]>(PARTS.map((part) => [part, []]))
  for (let round = 0; round < Math.max(ROUNDS_MIN, bench.effort.rounds); round++) {
    for (const [part, measured] of byPart) {
      bench.progress.step(`${pairs} pairs, ${size} bytes at ${part} of the clean rate`)
      // A relay that has seen no other load: what it knows is what this one has shown it.
      measured.push(
        await bench.withFresh(DERPFLEET, {}, async (server) => {
          const asked = { rate: part * clean, kind }
          const before = await saidOf(bench, server, { ...asked, seconds: SECONDS })
          const reached = await cleanRateNear({ bench, server, pairs, more: { size } }, before.limit)
          const after = await saidOf(bench, server, { ...asked, seconds: SECONDS_AGAIN })
          return { said: { ...before, limit: Math.sqrt(before.limit * after.limit) }, reached }
        }),
      )
    }
  }
  for (const [part, measured] of byPart) {
    const ratios = measured.map(({ said, reached }) => said.limit / reached)
    const ratio = ownRow({ label: '– divided by the clean rate found then', unit: '×', digits: 2 }, ratios)
    rows.push(
      ownRow(
        { label: `limit as the relay says it at ${part} of the clean rate`, ...shown },
        measured.map(({ said }) => said.limit),
      ),
      withOwnTarget(ratio, '0.85 to 1.15', (median) => Math.abs(median - 1) <= ERROR_MAX),
      ownRow(
        { label: '– busy share', unit: '', digits: 2 },
        measured.map(({ said }) => said.busyShare),
      ),
      ownRow(
        { label: '– writes per packet', unit: '', digits: 3 },
        measured.map(({ said }) => said.writesPerPacket),
      ),
    )
  }
  return rows
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
        `In each round a fresh relay is asked after ${SECONDS} s of each load, the clean rate is searched right after it, in steps of 5 % (a step is clean in two of three loads), and the relay is asked again after ${SECONDS_AGAIN} s of the load; its limit is the geometric mean of both answers. A processor of a virtual machine has slow seconds and fast ones.`,
      ],
    }
  },
}
