// The cost of presence in a mesh: time and bytes until a joining sibling knows all keys of three relays, and CPU time
// of a relay that receives presence updates while clients connect and disconnect at a sibling.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { JoiningSibling } from '../joining-sibling.ts'
import { Generator } from '../load/generator-process.ts'
import { cpuSeconds } from '../process-stats.ts'
import { startMesh } from '../mesh.ts'
import { ownRow } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'

const RELAYS = 3
/** Each login is a change, and so is each disconnection. */
const LOGINS_PER_SECOND = 500
const CHURN_CLIENTS = 1_000
const CHURN_SECONDS = 10
/** The fact that holds the CPU time of a received presence change, in µs. */
export const PRESENCE_CHANGE_FACT = 'CPU per presence change'
/** Longer than the figure: idle clients stay until their generator is stopped. */
const IDLE_SECONDS = 3_600

interface Join {
  readonly seconds: number
  readonly bytes: number
  readonly frames: number
}

interface Churn {
  readonly changesPerSecond: number
  /** CPU time of the relay where clients connect and disconnect. */
  readonly ownSeconds: number
  /** CPU time of a sibling that receives the changes, without its CPU time when there are none. */
  readonly siblingSeconds: number
  readonly changes: number
}

/** Connects `keys` idle clients to every relay. Returns a function that stops them. */
async function connectIdleClients(
  bench: Bench,
  servers: readonly Server[],
  keys: number,
): Promise<() => Promise<void>> {
  const generators: Generator[] = []
  for (const server of servers) {
    const what = ['--hold', `${keys}`, '--phases', 'fresh,quiet', '--quiet', `${IDLE_SECONDS}`]
    const args = [...(await server.arguments(keys + CHURN_CLIENTS)), ...what]
    generators.push(await Generator.start(args, bench.cpuSets.generator))
  }
  for (const generator of generators) await generator.next('phase', ({ name }) => name === 'fresh')
  return async () => {
    for (const generator of generators) await generator.stop()
  }
}

async function join(servers: readonly Server[], keys: number): Promise<Join> {
  const sibling = new JoiningSibling(servers)
  try {
    const seconds = await sibling.waitForKeys(keys)
    return { seconds, bytes: sibling.frameBytes, frames: sibling.frames }
  } finally {
    sibling.close()
  }
}

async function churn(bench: Bench, [own, sibling]: readonly Server[], keys: number): Promise<Churn> {
  if (own === undefined || sibling === undefined) throw new Error('a mesh with fewer than two relays')
  const idleBefore = await cpuSeconds(sibling.pid)
  await sleep(1_000 * CHURN_SECONDS)
  const idle = (await cpuSeconds(sibling.pid)) - idleBefore
  const [ownBefore, siblingBefore] = [await cpuSeconds(own.pid), await cpuSeconds(sibling.pid)]
  const what = ['--churn', `${CHURN_CLIENTS}`, '--rate', `${LOGINS_PER_SECOND}`, '--login-from', `${keys}`]
  const args = [...(await own.arguments(keys + CHURN_CLIENTS)), ...what, '--secs', `${CHURN_SECONDS}`]
  const generator = await Generator.start([...args, '--warm', '0'], bench.cpuSets.generator)
  await generator.done()
  const { logins } = await generator.next('churn')
  bench.notes.addCommand(generator.command)
  return {
    changesPerSecond: (2 * logins) / CHURN_SECONDS,
    ownSeconds: (await cpuSeconds(own.pid)) - ownBefore,
    siblingSeconds: (await cpuSeconds(sibling.pid)) - siblingBefore - idle,
    changes: 2 * logins,
  }
}

function row<Round>(
  [label, unit, digits]: readonly [string, string, number],
  rounds: readonly Round[],
  of: (round: Round) => number,
): Row {
  return ownRow({ label, unit, digits }, rounds.map(of))
}

async function measureOn(bench: Bench, servers: readonly Server[], keys: number): Promise<Row[]> {
  const disconnectAll = await connectIdleClients(bench, servers, keys)
  const joins: Join[] = []
  const churns: Churn[] = []
  try {
    const known = RELAYS * keys
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`joining sibling, round ${round + 1} of ${bench.effort.rounds}`)
      joins.push(await join(servers, known))
    }
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`presence changes, round ${round + 1} of ${bench.effort.rounds}`)
      churns.push(await churn(bench, servers, keys))
    }
    const perChange = row(
      ['– CPU per change received', 'µs', 1],
      churns,
      ({ siblingSeconds, changes }) => (1e6 * siblingSeconds) / changes,
    )
    bench.facts[PRESENCE_CHANGE_FACT] = perChange.samples[DERPFLEET]?.median ?? Number.NaN
    return [
      row([`time until a joining sibling knows ${known} keys`, 's', 2], joins, ({ seconds }) => seconds),
      row(['– data that it receives', 'MB', 2], joins, ({ bytes }) => bytes / 1e6),
      row(['– data per key', 'bytes', 1], joins, ({ bytes, frames }) => bytes / frames),
      row(['presence changes', 'per second', 0], churns, ({ changesPerSecond }) => changesPerSecond),
      row(
        ['– CPU of a relay that receives them', '%', 2],
        churns,
        ({ siblingSeconds }) => (100 * siblingSeconds) / CHURN_SECONDS,
      ),
      perChange,
      row(
        ['– CPU of the relay where clients connect, logins included', '%', 1],
        churns,
        ({ ownSeconds }) => (100 * ownSeconds) / CHURN_SECONDS,
      ),
    ]
  } finally {
    await disconnectAll()
  }
}

export const presence: Figure = {
  name: 'presence',
  title: 'Presence in a mesh',
  async measure(bench) {
    const keys = bench.effort.isQuick ? bench.effort.idleConnections : 10_000
    const servers = await startMesh(bench, DERPFLEET, RELAYS)
    try {
      return {
        rows: await measureOn(bench, servers, keys),
        notes: [
          `${RELAYS} relays of one thread in a mesh, with ${keys} idle clients each. The joining sibling is the project's mesh code in another process. ${CHURN_CLIENTS} clients connect and disconnect at one relay, ${LOGINS_PER_SECOND} logins per second. The CPU time that a relay uses without any changes is subtracted.`,
        ],
      }
    } finally {
      for (const server of servers) await server.stop()
    }
  },
}
