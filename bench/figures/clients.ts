// Who is here, with ten thousand idle clients beside packets: how long an answer takes, and what asking costs the packets. That is
// the ratio of their delays while somebody asks once a second and while nobody does, in windows that alternate.

import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { runOk } from '../../test/support/process.ts'
import type { Bench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { Generator } from '../load/generator-process.ts'
import { lossOf } from '../load/load.ts'
import type { LoadOutcome } from '../load/outcome.ts'
import { LOGIN_POOL } from '../bench.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'
import { p99ByWindow, pooledP99 } from './pooled-delays.ts'

const CLIENTS = 10_000
const WINDOWS = 5
const SECONDS = 6
const WARM_SECONDS = 3
/** As in the figure `pages`. */
const TICK_US = 500
const RATIO_MAX = 1.2
const ANSWER_MS_MAX = 1_000
const EVERY_MS = 1_000
/** Longer than the figure: idle clients stay until their generator is stopped. */
const IDLE_SECONDS = 3_600
const ANSWERS = 3
/** After it the relay has forgotten what rates could be taken from. */
const PAUSE_MS = 11_000

interface Window {
  readonly load: LoadOutcome
  /** Times of the answers, in ms. */
  readonly answersMs: readonly number[]
}

async function withIdleClients<Done>(bench: Bench, server: Server, work: () => Promise<Done>): Promise<Done> {
  const common = await server.arguments(LOGIN_POOL + CLIENTS)
  const what = ['--hold', `${CLIENTS}`, '--phases', 'fresh,quiet', '--quiet', `${IDLE_SECONDS}`]
  const args = [...common, '--login-from', `${LOGIN_POOL}`, ...what]
  const generator = await Generator.start(args, bench.cpuSets.generator)
  try {
    const { open } = await generator.next('phase', ({ name }) => name === 'fresh')
    if (open < CLIENTS) bench.notes.addMark(`${open} of ${CLIENTS} idle clients are connected`)
    return await work()
  } finally {
    await generator.stop()
  }
}

async function ask(server: Server, query = ''): Promise<number> {
  const startedMs = performance.now()
  const response = await fetch(`http://127.0.0.1:${server.adminPort ?? 0}/clients.json${query}`)
  const { connections } = (await response.json()) as { readonly connections: number }
  if (connections < CLIENTS) throw new Error(`${connections} connections are told of`)
  return performance.now() - startedMs
}

/** Asks until `isOver`, once a second at most. */
async function askOn(server: Server, isOver: () => boolean): Promise<readonly number[]> {
  const answersMs: number[] = []
  while (!isOver()) {
    const tookMs = await ask(server)
    answersMs.push(tookMs)
    await sleep(Math.max(0, EVERY_MS - tookMs))
  }
  return answersMs
}

async function windowOf(bench: Bench, server: Server, rate: number, isAsking: boolean): Promise<Window> {
  let isOver = false
  const more = { seconds: SECONDS, warmSeconds: WARM_SECONDS, sleeps: true, tickUs: TICK_US }
  const running = bench.runLoad(server, bench.load(rate, 10, more)).finally(() => (isOver = true))
  const asked = isAsking ? askOn(server, () => isOver) : []
  return { load: await running, answersMs: await asked }
}

/** The command, from its start to its end. */
async function command(server: Server): Promise<number> {
  const program = fileURLToPath(new URL('../../bin/derpfleet', import.meta.url))
  const startedMs = performance.now()
  await runOk(program, ['clients', '-addr', `127.0.0.1:${server.adminPort ?? 0}`])
  return performance.now() - startedMs
}

async function several(take: () => Promise<number>, pauseMs: number): Promise<number[]> {
  const taken: number[] = []
  for (let n = 0; n < ANSWERS; n++) {
    await sleep(pauseMs)
    taken.push(await take())
  }
  return taken
}

export const clients: Figure = {
  name: 'clients',
  title: 'Who is here, beside packets',
  isSeparate: true,
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rate = (await knownCleanRate(bench, bench.ours)) / 2
    return await bench.withFresh(
      DERPFLEET,
      {},
      async (server) =>
        await withIdleClients(bench, server, async () => {
          const [asking, without]: [Window[], Window[]] = [[], []]
          bench.progress.step('packets and answers until code is compiled')
          await windowOf(bench, server, rate, true)
          for (let at = 0; at < WINDOWS; at++) {
            bench.progress.step(`window ${at + 1} of ${WINDOWS}`)
            without.push(await windowOf(bench, server, rate, false))
            asking.push(await windowOf(bench, server, rate, true))
          }
          bench.progress.step('answers after a pause, and the command')
          const first = await several(async () => await ask(server), PAUSE_MS)
          const whole = await several(async () => await ask(server, '?limit=10000'), EVERY_MS)
          const commands = await several(async () => await command(server), PAUSE_MS)
          return {
            rows: rowsOf({ asking, without, first, whole, commands }),
            notes: [
              `${CLIENTS} idle TLS clients; 10 pairs send ${Math.round(rate)} packets/s, half of ${DERPFLEET}'s clean rate. \`/clients.json\` is requested once a second. Delays are pooled over ${WINDOWS} windows of ${SECONDS} s with requests and as many without, in turn.`,
              'An answer after a pause takes two samples of all clients, because there is none that rates could be taken from; the others take one. Beside packets, the table is cut at 50 rows.',
            ],
          }
        }),
    )
  },
}

function rowsOf(taken: {
  readonly asking: readonly Window[]
  readonly without: readonly Window[]
  readonly first: readonly number[]
  readonly whole: readonly number[]
  readonly commands: readonly number[]
}): readonly ReturnType<typeof ownRow>[] {
  const [asking, without] = [taken.asking, taken.without].map((windows) => windows.map(({ load }) => load))
  const ms = (label: string, samples: readonly number[], digits = 0): ReturnType<typeof ownRow> =>
    ownRow({ label, unit: 'ms', digits }, [...samples])
  const inTime = (median: number): boolean => median < ANSWER_MS_MAX
  const answers = taken.asking.flatMap(({ answersMs }) => answersMs)
  return [
    withOwnTarget(ms('an answer beside packets', answers), `< ${ANSWER_MS_MAX}`, inTime),
    ms('– the slowest', [Math.max(...answers)]),
    withOwnTarget(ms('an answer after a pause', taken.first), `< ${ANSWER_MS_MAX}`, inTime),
    withOwnTarget(ms('an answer of all 10,000 rows', taken.whole), `< ${ANSWER_MS_MAX}`, inTime),
    withOwnTarget(ms('`derpfleet clients`, from start to end', taken.commands), `< ${ANSWER_MS_MAX}`, inTime),
    ms('p99 of packets while somebody asks', [pooledP99(asking ?? [])], 2),
    ms('– while nobody asks', [pooledP99(without ?? [])], 2),
    ms('– while somebody asks, by window', p99ByWindow(asking ?? []), 2),
    ms('– while nobody asks, by window', p99ByWindow(without ?? []), 2),
    withOwnTarget(
      ownRow({ label: '– divided', unit: '×', digits: 2 }, [
        pooledP99(asking ?? []) / pooledP99(without ?? []),
      ]),
      `≤ ${RATIO_MAX}`,
      (median) => median <= RATIO_MAX,
    ),
    ownRow(
      { label: '– packets lost meanwhile', unit: '%', digits: 3 },
      taken.asking.map(({ load }) => 100 * lossOf(load)),
    ),
  ]
}
