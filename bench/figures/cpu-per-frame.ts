// CPU time per delivered frame at fixed rates: the reference's clean rate and half of it, and small frames of which many share
// a TLS record. Once more with short poll rounds, as they can be set.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { cpuUsPerFrame, lossOf, type Load } from '../load/load.ts'
import { rowOf, withBounds } from '../row.ts'
import { DERPER, DERPFLEET, type Server } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

/** CPU time is measured in ticks of 10 ms: half a percent of a window of 6 s at 30 % load. */
const SECONDS = 6

/** The default is poll rounds of a millisecond. */
const SHORT_ROUNDS = 'derpfleet-250us'

interface Case {
  readonly label: string
  readonly load: Load
  /** Times derper's. */
  readonly atMost: number
}

/** @param short this checkout's relay with short poll rounds */
async function rowsFor(
  bench: Bench,
  short: Server | undefined,
  { label, load, atMost }: Case,
): Promise<Row[]> {
  bench.progress.step(label)
  const servers = short === undefined ? bench.servers : [...bench.servers, short]
  const all = await bench.interleaved(servers, (server) => bench.runLoad(server, load))
  const measured = new Map([...all].filter(([server]) => server !== short))
  const cpu = rowOf({ label, unit: 'µs/frame', digits: 2 }, measured, cpuUsPerFrame)
  const loss = rowOf({ label: '– lost', unit: '%', digits: 2 }, measured, (o) => 100 * lossOf(o))
  const rows = [withBounds(cpu, { server: DERPER, atMost }), loss]
  if (short === undefined) return rows
  const ofShort = new Map([[{ name: DERPFLEET }, all.get(short) ?? []]])
  const shown = { label: '– with poll rounds of 250 µs', unit: 'µs/frame', digits: 2 }
  return [...rows, rowOf(shown, ofShort, cpuUsPerFrame)]
}

function casesAt(bench: Bench, cleanRate: number, seconds: number): Case[] {
  const large = (what: string, rate: number, atMost: number): Case => ({
    label: `1420 B, 10 pairs, ${bench.reference.name}'s ${what} (${Math.round(rate)}/s)`,
    load: bench.load(rate, 10, { seconds }),
    atMost,
  })
  const small = bench.load(60_000, 10, { size: 128, batch: 16, seconds })
  return [
    large('clean rate', cleanRate, 0.8),
    large('half of it', cleanRate / 2, 0.45),
    { label: '128 B, 16 to a record, 60000/s', load: small, atMost: 0.7 },
  ]
}

export const cpuPerFrame: Figure = {
  name: 'cpu-per-frame',
  title: 'CPU per delivered frame',
  async measure(bench) {
    const cleanRate = await knownCleanRate(bench, bench.reference)
    const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
    const measureWith = async (short?: Server): Promise<Row[]> => {
      const rows: Row[] = []
      for (const one of casesAt(bench, cleanRate, seconds)) rows.push(...(await rowsFor(bench, short, one)))
      return rows
    }
    const rows =
      bench.ours === undefined
        ? await measureWith()
        : await bench.withFresh(SHORT_ROUNDS, {}, async (short) => {
            await bench.runLoad(short, bench.load(cleanRate))
            return await measureWith(short)
          })
    return {
      rows,
      notes: [
        `User and system time of all threads of the server's process over a window of ${seconds} s, divided by the frames that arrived in it. Poll rounds have a millisecond, but in the rows that say so.`,
      ],
    }
  },
}
