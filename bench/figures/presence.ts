// What knowing who is where costs the relays of a mesh: the time and bytes until a sibling that joins knows all keys of
// three relays, and the processor time of a relay that is told of clients who come and go elsewhere.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { Joiner } from '../joining-sibling.ts'
import { Generator } from '../load/generator-process.ts'
import { cpuSeconds } from '../machine.ts'
import { startMesh } from '../mesh.ts'
import { ownRow } from '../row.ts'
import { OURS, type Server } from '../server.ts'

const RELAYS = 3
/** Each login is a change, and so is each leaving. */
const LOGINS_PER_SECOND = 500
const CHURN_CLIENTS = 1_000
const CHURN_SECONDS = 10
/** Where the cost of being told of a change is kept for other figures, µs. */
export const TOLD_CHANGE_FACT = 'CPU per presence change'
/** Held connections stay until they are ended. */
const HELD_SECONDS = 3_600

interface Join {
  readonly seconds: number
  readonly bytes: number
  readonly frames: number
}

interface Churn {
  readonly changesPerSecond: number
  /** Of the relay where it happens, and of one that is told of it, beyond what it takes with nothing happening. */
  readonly hereSeconds: number
  readonly toldSeconds: number
  readonly changes: number
}

/** Fills every relay with idle clients; what is answered ends them. */
async function fill(bench: Bench, servers: readonly Server[], keys: number): Promise<() => Promise<void>> {
  const held: Generator[] = []
  for (const server of servers) {
    const what = ['--hold', `${keys}`, '--phases', 'fresh,quiet', '--quiet', `${HELD_SECONDS}`]
    const args = [...(await server.arguments(keys + CHURN_CLIENTS)), ...what]
    held.push(await Generator.start(args, bench.places.generator))
  }
  for (const generator of held) await generator.next('phase', ({ name }) => name === 'fresh')
  return async () => {
    for (const generator of held) await generator.stop()
  }
}

async function join(servers: readonly Server[], keys: number): Promise<Join> {
  const joiner = new Joiner(servers)
  try {
    const seconds = await joiner.knows(keys)
    return { seconds, bytes: joiner.frameBytes, frames: joiner.frames }
  } finally {
    joiner.close()
  }
}

async function churn(bench: Bench, [here, told]: readonly Server[], keys: number): Promise<Churn> {
  if (here === undefined || told === undefined) throw new Error('a mesh of less than two relays')
  const idleBefore = await cpuSeconds(told.pid)
  await sleep(1_000 * CHURN_SECONDS)
  const idle = (await cpuSeconds(told.pid)) - idleBefore
  const [hereBefore, toldBefore] = [await cpuSeconds(here.pid), await cpuSeconds(told.pid)]
  const what = ['--churn', `${CHURN_CLIENTS}`, '--rate', `${LOGINS_PER_SECOND}`, '--login-from', `${keys}`]
  const args = [...(await here.arguments(keys + CHURN_CLIENTS)), ...what, '--secs', `${CHURN_SECONDS}`]
  const generator = await Generator.start([...args, '--warm', '0'], bench.places.generator)
  await generator.done()
  const { logins } = await generator.next('churn')
  bench.note(generator.command)
  return {
    changesPerSecond: (2 * logins) / CHURN_SECONDS,
    hereSeconds: (await cpuSeconds(here.pid)) - hereBefore,
    toldSeconds: (await cpuSeconds(told.pid)) - toldBefore - idle,
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
  const empty = await fill(bench, servers, keys)
  const joins: Join[] = []
  const churns: Churn[] = []
  try {
    const known = RELAYS * keys
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`a sibling joins, round ${round + 1} of ${bench.effort.rounds}`)
      joins.push(await join(servers, known))
    }
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`clients come and go, round ${round + 1} of ${bench.effort.rounds}`)
      churns.push(await churn(bench, servers, keys))
    }
    const perChange = row(
      ['– the same, per change', 'µs', 1],
      churns,
      ({ toldSeconds, changes }) => (1e6 * toldSeconds) / changes,
    )
    bench.facts[TOLD_CHANGE_FACT] = perChange.samples[OURS]?.median ?? Number.NaN
    return [
      row([`until a joining sibling knows ${known} keys`, 's', 2], joins, ({ seconds }) => seconds),
      row(['– what it is told', 'MB', 2], joins, ({ bytes }) => bytes / 1e6),
      row(['– per key', 'bytes', 1], joins, ({ bytes, frames }) => bytes / frames),
      row(['changes carried', 'per second', 0], churns, ({ changesPerSecond }) => changesPerSecond),
      row(
        ['– CPU of a relay that is told of them', '%', 2],
        churns,
        ({ toldSeconds }) => (100 * toldSeconds) / CHURN_SECONDS,
      ),
      perChange,
      row(
        ['– CPU of the relay where they happen, logins included', '%', 1],
        churns,
        ({ hereSeconds }) => (100 * hereSeconds) / CHURN_SECONDS,
      ),
    ]
  } finally {
    await empty()
  }
}

export const presence: Figure = {
  name: 'presence',
  title: 'Knowing who is where',
  async measure(bench) {
    const keys = bench.effort.isQuick ? bench.effort.idleConnections : 10_000
    const servers = await startMesh(bench, OURS, RELAYS)
    try {
      return {
        rows: await measureOn(bench, servers, keys),
        notes: [
          `${RELAYS} relays of one thread, meshed, with ${keys} idle clients each. The joining sibling is the project's mesh code in a process beside them. ${CHURN_CLIENTS} clients come and go at one relay, ${LOGINS_PER_SECOND} logins a second; what the relay that is told of it takes while nothing happens is not counted.`,
        ],
      }
    } finally {
      for (const server of servers) await server.stop()
    }
  },
}
