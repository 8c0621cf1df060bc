// A relay is upgraded in place while a thousand clients exchange packets and others connect all the time: a second run of it
// starts beside the first one and takes over, and the first one drains. Once both share the ports, once a small program
// holds the sockets for both. What the clients lose, and whether anybody is refused. There is no other server to compare.

import { setTimeout as sleep } from 'node:timers/promises'
import { Newcomers } from '../../test/support/newcomers.ts'
import { RunHost, type RunHostOptions } from '../../test/support/run-host.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { Generator } from '../load/generator-process.ts'
import type { MovedOutcome } from '../load/outcome.ts'
import { movedRows } from '../moved-rows.ts'
import { rowOf, withOwnTarget } from '../row.ts'
import { DERPFLEET } from '../server.ts'

const CLIENTS = 1_000
/** Of each client. A relay that is not busy, and fifty thousand packets a second in all. */
const RATES = [10, 50] as const
const PACKET_BYTES = 200
/** From the first packet to the start of the newer run. */
const BEFORE_MS = 3_000
/** A busy relay takes some seconds to start, and the drain of a thousand clients, after a hand-over, eighteen and a half at most. */
const SECONDS = 36
const ROUNDS_MAX = 3

const WAYS: readonly (readonly [name: string, options: RunHostOptions])[] = [
  ['shared ports', { isApart: true }],
  ['held sockets', { isHeld: true }],
]

interface Upgraded extends MovedOutcome {
  /** New connections, HTTP requests and STUN requests that were answered, and what was not. */
  readonly answered: number
  readonly refused: number
  readonly stunUnanswered: number
  readonly startSeconds: number
}

async function upgradeOnce(bench: Bench, options: RunHostOptions, rate: number): Promise<Upgraded> {
  const host = await RunHost.make({ ...options, args: ['-threads', '1'] })
  try {
    return await upgradeOn(bench, host, rate)
  } finally {
    await host[Symbol.asyncDispose]()
  }
}

async function upgradeOn(bench: Bench, host: RunHost, rate: number): Promise<Upgraded> {
  const older = await host.start()
  const { address, ports } = host
  const logins = await bench.workFolder.logins({ host: address, port: ports.derp, isPlain: false }, CLIENTS)
  // Clients move from the relay to itself.
  const at = `${address}:${ports.derp}`
  const servers = ['--addr', at, '--logins', logins, '--far', at, '--far-logins', logins]
  const load = ['--move', `${CLIENTS}`, '--rate', `${CLIENTS * rate}`, '--size', `${PACKET_BYTES}`]
  const pids = ['--pid', `${older.pid ?? 0}`, '--far-pid', `${older.pid ?? 0}`]
  const all = [...servers, ...load, ...pids, '--secs', `${SECONDS}`]
  const generator = await Generator.start(all, bench.cpuSets.generator)
  try {
    await generator.next('held')
    const newcomers = new Newcomers(host)
    await sleep(BEFORE_MS)
    const startMs = performance.now()
    await host.start()
    const startSeconds = (performance.now() - startMs) / 1_000
    const { code } = await older.exited
    await newcomers.end()
    await generator.done()
    bench.notes.addCommand(generator.command)
    const outcome = await generator.next('moved')
    if (code !== 0) bench.notes.addMark(`the older run ended with ${code}`)
    if (outcome.corrupted > 0) bench.notes.addMark(`${outcome.corrupted} corrupted packets`)
    for (const failure of newcomers.failures.slice(0, 5)) bench.notes.addMark(failure)
    const { failures } = newcomers
    const stunUnanswered = failures.filter((one) => one.startsWith('stunAnswers')).length
    const refused = failures.length - stunUnanswered + outcome.refusedDials + outcome.failedLogins
    const answered = Object.values(newcomers.counts).reduce((sum, count) => sum + count, 0)
    return { ...outcome, answered, refused, stunUnanswered, startSeconds }
  } finally {
    await generator.stop()
  }
}

type Measured = ReadonlyMap<{ readonly name: string }, readonly Upgraded[]>

function rowsOf(label: string, measured: Measured): Row[] {
  const count = (text: string, of: (round: Upgraded) => number): Row =>
    rowOf({ unit: '', digits: 0, label: `– ${text}` }, measured, of)
  const none = (row: Row): Row => withOwnTarget(row, '0', (median) => median === 0)
  const start = { unit: 's', digits: 1, label: '– start of the newer run' }
  return [
    ...movedRows(label, measured),
    none(count('connections refused or reset', ({ refused }) => refused)),
    none(count('STUN requests unanswered', ({ stunUnanswered }) => stunUnanswered)),
    count('new connections and requests answered', ({ answered }) => answered),
    rowOf(start, measured, ({ startSeconds }) => startSeconds),
  ]
}

export const upgrade: Figure = {
  name: 'upgrade',
  title: 'A relay is upgraded in place under load',
  async measure(bench) {
    const own = bench.servers.filter(({ name, isOwn }) => isOwn && name === DERPFLEET)
    const rounds = Math.min(bench.effort.rounds, ROUNDS_MAX)
    const rates = bench.effort.isQuick ? RATES.slice(0, 1) : RATES
    const rows: Row[] = []
    for (const [name, options] of WAYS) {
      for (const rate of rates) {
        const measured = await bench.interleaved(own, () => upgradeOnce(bench, options, rate), rounds)
        rows.push(...rowsOf(`${name}, ${rate} packets/s each`, measured))
      }
    }
    return {
      rows,
      notes: [
        `${CLIENTS} clients, each sends packets of ${PACKET_BYTES} bytes to the client half-way round. Beside them a process connects, asks STUN and requests a page of the HTTP port (with held sockets also of the admin port), fifty times a second each at most. With shared ports the relay runs in a network namespace with net.ipv4.tcp_migrate_req=1; held sockets need no such setting. Both runs and the generator share all processors. STUN requests are repeated every 500 ms, for 3 s at most.`,
      ],
    }
  },
}
