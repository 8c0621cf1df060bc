// Resident memory of a relay that nobody uses yet: of the package, which runs compiled JavaScript, and of a checkout, which runs
// its sources; with one relay thread and with two. This checkout's relay only.

import { setTimeout as sleep } from 'node:timers/promises'
import { setup as buildProgram } from '../../test/support/built-program.ts'
import { PROGRAM_VARIABLE } from '../../test/support/program-path.ts'
import type { Figure, Row } from '../figure.ts'
import { residentBytes } from '../process-stats.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET } from '../server.ts'

/** By then the relay has given back what its start took, and what it uses has come back. */
const SETTLE_MS = 20_000
/** Prometheus, as in every deployment. */
const SCRAPE_MS = 5_000
const ROUNDS_MAX = 3
const MB_MAX = 120

export const baseMemory: Figure = {
  name: 'base-memory',
  title: 'Resident memory of a relay without clients',
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    await buildProgram()
    const program = process.env[PROGRAM_VARIABLE]
    // The tests' own, which a package that somebody has installed does not have.
    delete process.env['NODE_COMPILE_CACHE']
    const rows: Row[] = []
    for (const [threads, name, more] of [
      [2, 'package', { program }],
      [1, 'package', { program }],
      [2, 'checkout', {}],
    ] as const) {
      const rounds: number[] = []
      for (let round = 0; round < Math.min(ROUNDS_MAX, bench.effort.rounds); round++) {
        bench.progress.step(`${name}, ${threads} threads, round ${round + 1}`)
        rounds.push(
          await bench.withFresh(
            DERPFLEET,
            { threads, cpus: bench.cpuSets.both, ...more },
            async ({ pid, adminPort }) => {
              for (let waited = 0; waited < SETTLE_MS; waited += SCRAPE_MS) {
                await sleep(SCRAPE_MS)
                await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).arrayBuffer()
              }
              return (await residentBytes(pid)) / 1e6
            },
          ),
        )
      }
      const row = ownRow({ label: `${name}, relay threads: ${threads}`, unit: 'MB', digits: 0 }, rounds)
      const isTarget = name === 'package' && threads === 2
      rows.push(isTarget ? withOwnTarget(row, `≤ ${MB_MAX} MB`, (median) => median <= MB_MAX) : row)
    }
    return {
      rows,
      notes: [
        `VmRSS ${SETTLE_MS / 1_000} s after the start, over TLS, with the admin port, which is scraped every ${SCRAPE_MS / 1_000} s.`,
      ],
    }
  },
}
