// The storm of reconnect-storm.ts with an admission backend that is slow or hangs, beside the same storm of an open relay. The
// relay has admitted all clients before it is killed, and what it remembers of them is on disk.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitUntil } from '../../test/support/process.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { VerifyBackend } from '../http/verify-backend.ts'
import type { StormOutcome } from '../load/outcome.ts'
import { ownRow, rowOf, withOwnTarget } from '../row.ts'
import { DERPFLEET } from '../server.ts'
import { failedLogins, restartWithClients } from './reconnect-storm.ts'

/** How late the backend answers after the restart; null: never. Undefined: there is none. */
const BACKENDS = [
  { name: 'open', delayMs: undefined },
  { name: '50 ms', delayMs: 50 },
  { name: '3 s', delayMs: 3_000 },
  { name: 'never', delayMs: null },
] as const
/** Each round starts four relays with all clients; three are enough. */
const ROUNDS_MAX = 3
const RATIO_MAX = 1.35
/** The relay writes what it remembers every ten seconds. */
const KEPT_WITHIN_MS = 30_000
/** Whom the backend has admitted within half a minute, it is not asked about again: then no request would be seen. */
const STALE_MS = 31_000

interface Round {
  readonly storm: StormOutcome
  /** Requests to the backend after the restart. */
  readonly requests: number
}

async function stormWith(
  bench: Bench,
  backend: VerifyBackend,
  delayMs: number | null | undefined,
): Promise<Round> {
  const verifyUrl = delayMs === undefined ? undefined : backend.url
  return await bench.withFresh(DERPFLEET, { verifyUrl }, async (server) => {
    const folder = await bench.workFolder.stateFolder(server.address.port)
    const storm = await restartWithClients(bench, server, async () => {
      if (delayMs === undefined) return
      const remembers = async (): Promise<boolean> => (await keysIn(folder)) >= bench.effort.idleConnections
      await waitUntil('all clients are remembered', remembers, KEPT_WITHIN_MS)
      await sleep(STALE_MS)
      await backend.answerAfter(delayMs)
    })
    return { storm, requests: await backend.answerAfter(0) }
  })
}

/** How many keys the relay that has its state there has written down. It has a folder for its own key in that one. */
async function keysIn(stateFolder: string): Promise<number> {
  try {
    const [ofKey = ''] = await readdir(stateFolder)
    const text = await readFile(join(stateFolder, ofKey, 'admission.json'), 'utf8')
    return Object.keys((JSON.parse(text) as { admitted: object }).admitted).length
  } catch {
    return 0
  }
}

/** In each round the open relay is measured as well: the ratio is that of one round. */
function ratioRow(label: string, measured: readonly Round[], open: readonly Round[]): Row {
  const ratios = measured.map(
    ({ storm }, at) => storm.almostAllBackSeconds / (open[at]?.storm.almostAllBackSeconds ?? Number.NaN),
  )
  const row = ownRow({ label, unit: '×', digits: 2 }, ratios)
  return withOwnTarget(row, `≤ ${RATIO_MAX}`, (median) => median <= RATIO_MAX)
}

export const admissionStorm: Figure = {
  name: 'admission-storm',
  title: 'All clients reconnect, and the admission backend is slow',
  isSeparate: true,
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const backend = await VerifyBackend.start(bench.cpuSets.generator)
    try {
      const measured = await bench.interleaved(
        BACKENDS,
        ({ delayMs }) => stormWith(bench, backend, delayMs),
        Math.min(bench.effort.rounds, ROUNDS_MAX),
      )
      return { rows: rowsOf(measured), notes: [noteOf(bench)] }
    } finally {
      await backend.stop()
    }
  },
}

function rowsOf(measured: ReadonlyMap<(typeof BACKENDS)[number], readonly Round[]>): Row[] {
  const [open = []] = measured.values()
  const rows: Row[] = []
  for (const [{ name, delayMs }, rounds] of measured) {
    const one = new Map([[{ name: DERPFLEET }, rounds]])
    const row = (label: string, unit: string, digits: number, of: (round: Round) => number): Row =>
      rowOf({ label: `${name}: ${label}`, unit, digits }, one, of)
    rows.push(
      withOwnTarget(
        row('failed logins', '', 0, ({ storm }) => failedLogins(storm)),
        '0',
        (median) => median === 0,
      ),
      row('99 % are back', 's', 2, ({ storm }) => storm.almostAllBackSeconds),
      row('slowest login', 's', 2, ({ storm }) => storm.loginTimes.maxNs / 1e9),
    )
    if (delayMs === undefined) continue
    rows.push(
      ratioRow(`${name}: – divided by that of the open relay`, rounds, open),
      row('requests to the backend', '', 0, ({ requests }) => requests),
    )
  }
  return rows
}

function noteOf(bench: Bench): string {
  return `${bench.effort.idleConnections} clients that the relay has admitted; SIGKILL, then a restart on the same port. The backend, on the generator's processor, answers after the restart as late as each row says.`
}
