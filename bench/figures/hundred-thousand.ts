// A hundred thousand clients on one relay: memory and processor time while they are idle, their storm of logins, packets of a pair
// beside them, a scrape, and what happens when all of them leave at once. On machines that allow fewer open files, the relay has more
// threads, each with a table of descriptors of its own (load/own-descriptors.ts), and derper has as many clients as it can.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LOGIN_POOL, type Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { Generator } from '../load/generator-process.ts'
import { heldClientArguments } from '../load/held-clients.ts'
import { probeLoad } from '../load/load.ts'
import { cpuSeconds, residentBytes } from '../process-stats.ts'
import { ownRow, rowOf, withOwnTarget } from '../row.ts'
import { DERPER, DERPFLEET, type Server, type StartOptions } from '../server.ts'

const CLIENTS = 100_000
const CLIENTS_QUICK = 4_000
/** Connections of one process, or of one table of descriptors: what is left is for listeners, files and the uneven spread over threads. */
const SHARE_OF_LIMIT = 0.85
/** By default, a relay on two processors has two threads. */
const THREADS_MIN = 2
/** Of all generators together: so many as `logins` has, and a few to keep six processes busy. */
const IN_FLIGHT = 96
/** Timers of logins and collections of garbage are over by then. */
const SETTLE_SECONDS = 20
/** Each client gets a keep-alive frame within it. */
const IDLE_SECONDS = 60
const PROBE_SECONDS = 20
const PROBE_RATE = 100
const SCRAPES = 5
/** The probe begins so long before all leave. */
const BEFORE_SECONDS = 2
/** Ends are handled and memory is given back by then. */
const AFTER_SECONDS = 25

interface CrowdRound {
  readonly clients: number
  readonly residentMb: number
  readonly bytesPerClient: number
  readonly loginSeconds: number
  readonly loginCpuMs: number
  readonly failed: number
  readonly idleShare: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestMs: number
  readonly scrapeMs: number
  readonly leavingLongestMs: number
  readonly leavingLost: number
  readonly keptMb: number
}

interface Plan {
  readonly clients: number
  readonly threads: number
  readonly options: Partial<StartOptions>
}

function descriptorLimit(): number {
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1])
}

/** With tables of their own for threads where one is not enough. */
function ourPlan(clients: number): Plan {
  const perTable = Math.floor(SHARE_OF_LIMIT * descriptorLimit())
  if (clients <= perTable) return { clients, threads: THREADS_MIN, options: { threads: THREADS_MIN } }
  const threads = Math.max(THREADS_MIN, Math.ceil(clients / perTable))
  const preload = fileURLToPath(new URL('../load/own-descriptors.ts', import.meta.url))
  return { clients, threads, options: { threads, env: { NODE_OPTIONS: `--import ${preload}` } } }
}

/** Starts the processes that hold the clients. Resolves when all have logged in. */
async function logIn(bench: Bench, server: Server, clients: number): Promise<Generator[]> {
  const count = Math.max(1, Math.ceil(clients / (SHARE_OF_LIMIT * descriptorLimit())))
  const each = Math.ceil(clients / count)
  const common = await server.arguments(LOGIN_POOL + count * each)
  const inFlight = ['--in-flight', `${Math.ceil(IN_FLIGHT / count)}`]
  const generators = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      Generator.start(
        [
          ...common,
          ...heldClientArguments({ count: each, loginFrom: LOGIN_POOL + i * each, settleSeconds: 0 }),
          ...inFlight,
        ],
        bench.cpuSets.generator,
      ),
    ),
  )
  await Promise.all(generators.map((one) => one.next('phase', ({ name }) => name === 'fresh')))
  return generators
}

async function stopAll(generators: readonly Generator[]): Promise<void> {
  await Promise.all(generators.map((generator) => generator.stop()))
}

async function scrapeMs({ adminPort }: Server): Promise<number> {
  if (adminPort === undefined) return Number.NaN
  const times: number[] = []
  for (let i = 0; i < SCRAPES; i++) {
    const started = performance.now()
    await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).arrayBuffer()
    times.push(performance.now() - started)
    await sleep(1_000)
  }
  return times.toSorted((a, b) => a - b)[Math.floor(SCRAPES / 2)] ?? Number.NaN
}

async function measureCrowd(bench: Bench, server: Server, clients: number): Promise<CrowdRound> {
  const { isQuick } = bench.effort
  const { pid } = server
  const baseBytes = await residentBytes(pid)
  const startedAt = performance.now()
  const cpuBefore = await cpuSeconds(pid)
  const generators = await logIn(bench, server, clients)
  try {
    const loginSeconds = (performance.now() - startedAt) / 1_000
    const loginCpu = (await cpuSeconds(pid)) - cpuBefore
    const fresh = generators.flatMap((one) => one.all('phase')).filter(({ name }) => name === 'fresh')
    const open = fresh.reduce((sum, phase) => sum + phase.open, 0)
    const failed = fresh.reduce((sum, phase) => sum + phase.failed, 0)
    await sleep(1_000 * (isQuick ? 2 : SETTLE_SECONDS))
    const residentBytesNow = await residentBytes(pid)
    const idleSeconds = isQuick ? 3 : IDLE_SECONDS
    const idleBefore = await cpuSeconds(pid)
    await sleep(1_000 * idleSeconds)
    const idleShare = ((await cpuSeconds(pid)) - idleBefore) / idleSeconds
    const seconds = isQuick ? 3 : PROBE_SECONDS
    const beside = await bench.runLoad(server, { ...probeLoad(seconds, 1), rate: PROBE_RATE })
    const scrape = await scrapeMs(server)
    const leaving = await leave(bench, server, generators)
    return {
      clients: open,
      residentMb: residentBytesNow / 1e6,
      bytesPerClient: (residentBytesNow - baseBytes) / open,
      loginSeconds,
      loginCpuMs: (1e3 * loginCpu) / open,
      failed,
      idleShare,
      p50Ms: delayMs(beside.delays, 0.5),
      p99Ms: delayMs(beside.delays, 0.99),
      longestMs: beside.delays.maxNs / 1e6,
      scrapeMs: scrape,
      ...leaving,
    }
  } finally {
    await stopAll(generators)
  }
}

async function leave(
  bench: Bench,
  server: Server,
  generators: readonly Generator[],
): Promise<Pick<CrowdRound, 'leavingLongestMs' | 'leavingLost' | 'keptMb'>> {
  const after = bench.effort.isQuick ? 5 : AFTER_SECONDS
  const probing = bench.runLoad(server, { ...probeLoad(BEFORE_SECONDS + after, 1), rate: PROBE_RATE })
  await sleep(1_000 * (1 + BEFORE_SECONDS))
  await stopAll(generators)
  const probe = await probing
  // Memory goes back in the first second without packets.
  await sleep(5_000)
  return {
    leavingLongestMs: probe.delays.maxNs / 1e6,
    leavingLost: probe.due - probe.received,
    keptMb: (await residentBytes(server.pid)) / 1e6,
  }
}

type Rounds = ReadonlyMap<{ readonly name: string }, readonly CrowdRound[]>

function rowsOf(rounds: Rounds, prefix: string): Row[] {
  const row = (label: string, unit: string, digits: number, of: (round: CrowdRound) => number): Row =>
    rowOf({ label: `${prefix}${label}`, unit, digits }, rounds, of)
  return [
    row('clients connected', '', 0, ({ clients }) => clients),
    row('logins that failed', '', 0, ({ failed }) => failed),
    row('all logged in after', 's', 1, ({ loginSeconds }) => loginSeconds),
    row('CPU time of a login', 'ms', 2, ({ loginCpuMs }) => loginCpuMs),
    row('resident memory', 'MB', 0, ({ residentMb }) => residentMb),
    row('resident memory per client', 'KB', 1, ({ bytesPerClient }) => bytesPerClient / 1e3),
    row('idle processor time', '% of a core', 1, ({ idleShare }) => 100 * idleShare),
    row("probe's p50", 'ms', 2, ({ p50Ms }) => p50Ms),
    row("probe's p99", 'ms', 2, ({ p99Ms }) => p99Ms),
    row("probe's longest delay", 'ms', 1, ({ longestMs }) => longestMs),
    row('scrape of /metrics', 'ms', 0, ({ scrapeMs: ms }) => ms),
    row("all leave: probe's longest delay", 'ms', 0, ({ leavingLongestMs }) => leavingLongestMs),
    row("all leave: probe's packets lost", '', 0, ({ leavingLost }) => leavingLost),
    row('resident memory afterwards', 'MB', 0, ({ keptMb }) => keptMb),
  ]
}

/** Adds the targets, by the end of the label. */
function withTargets(rows: readonly Row[]): Row[] {
  const targets: readonly (readonly [string, string, number])[] = [
    ['resident memory per client', '≤ 32 KB', 32],
    ['idle processor time', '≤ 20 %', 20],
    ["probe's p99", '≤ 5 ms', 5],
  ]
  return rows.map((row) => {
    const target = targets.find(([label]) => row.label === label)
    return target === undefined ? row : withOwnTarget(row, target[1], (median) => median <= target[2])
  })
}

export const hundredThousand: Figure = {
  name: 'hundred-thousand',
  title: 'A hundred thousand clients on one relay',
  isSeparate: true,
  async measure(bench) {
    const { crowd, isQuick } = bench.effort
    const wanted = crowd ?? (isQuick ? CLIENTS_QUICK : CLIENTS)
    const fewer = Math.min(wanted, Math.floor(SHARE_OF_LIMIT * descriptorLimit()))
    const both = bench.servers.filter(({ isOwn, name }) => isOwn && (name === DERPFLEET || name === DERPER))
    const beside = await bench.interleaved(
      both,
      ({ name }) => bench.withFresh(name, {}, (fresh) => measureCrowd(bench, fresh, fewer)),
      1,
    )
    const rows = rowsOf(beside, `${fewer} clients: `)
    const notes = [
      `One round. Idle: ${IDLE_SECONDS} s. The probe sends ${PROBE_RATE} packets of 64 bytes a second between two more clients. The limit of open files is ${descriptorLimit()}: derper has ${fewer} clients.`,
    ]
    if (bench.ours === undefined) return { rows, notes }
    const plan = ourPlan(wanted)
    bench.progress.step(`${wanted} clients, ${plan.threads} relay threads`)
    const round = await bench.withFresh(DERPFLEET, plan.options, (fresh) =>
      measureCrowd(bench, fresh, plan.clients),
    )
    const ours = rowsOf(new Map([[{ name: DERPFLEET }, [round]]]), '')
    const threads = ownRow({ label: 'relay threads', unit: '', digits: 0 }, [plan.threads])
    return { rows: [threads, ...withTargets(ours), ...rows], notes }
  },
}
