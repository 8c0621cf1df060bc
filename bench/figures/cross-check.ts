// Throughput measured by an independent generator, to show that a figure depends on the server and not on the
// generator: any program with derpload's command line and JSON output.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Bench } from '../bench.ts'
import type { Row } from '../figure.ts'
import { gigabitsPerSecond } from '../load/load.ts'
import { rowOf } from '../row.ts'
import type { Server } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

const run = promisify(execFile)

interface Checked {
  readonly theirs: number
  readonly ours: number
}

/** Rows of both generators' goodput; none without --cross-check. */
export async function crossCheck(bench: Bench): Promise<Row[]> {
  const path = bench.crossCheckPath
  if (path === undefined) return []
  const clean = await knownCleanRate(bench, bench.reference)
  const rows: Row[] = []
  // Below and above the reference's limit. Without a schedule the offered rate would differ between the generators.
  for (const rate of [0.75 * clean, 2 * clean]) {
    const what = `${Math.round(rate)}/s`
    bench.progress.step(`cross-check at ${what}`)
    const measured = await bench.interleaved(bench.servers, async (server): Promise<Checked> => ({
      ours: gigabitsPerSecond(await bench.runLoad(server, bench.load(rate))),
      theirs: await otherGoodput(bench, server, path, rate),
    }))
    const shown = { unit: 'Gbit/s', digits: 3 }
    rows.push(
      rowOf(
        { ...shown, label: `cross-check, 10 pairs, ${what}: this generator` },
        measured,
        ({ ours }) => ours,
      ),
      rowOf({ ...shown, label: '– the other generator' }, measured, ({ theirs }) => theirs),
    )
  }
  return rows
}

async function otherGoodput(bench: Bench, server: Server, path: string, rate: number): Promise<number> {
  const { host, port, isPlain } = server.address
  const { seconds, warmSeconds } = bench.effort
  const args = ['--addr', `${host}:${port}`, ...(isPlain ? [] : ['--tls']), '--pairs', '10', '--size', '1420']
  const time = ['--rate', `${Math.round(rate)}`, '--secs', `${seconds}`, '--warm', `${warmSeconds}`]
  const { stdout } = await run('taskset', ['-c', bench.cpuSets.generator, path, ...args, ...time])
  return (JSON.parse(stdout) as { gbps: number }).gbps
}
