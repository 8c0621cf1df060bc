// How two tenants share a relay that cannot carry what they send: one has a hundred busy pairs of clients, the other one a single
// one. A process that computes takes half of the relay's processor, so that the relay is the limit and not the generator. And what a
// third tenant with a light flow notices. This checkout's relay only: derper knows no tenants.

import { spawn } from 'node:child_process'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { runTogether, type Generator } from '../load/generator-process.ts'
import { loadArguments, probeLoad, type Load } from '../load/load.ts'
import { rowOf, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'
import { pooledP99 } from './pooled-delays.ts'
import { settle } from './settled.ts'

const PAIRS = 100
/** Of the two tenants: sender and receiver of each pair. */
const BUSY_CLIENTS = 2 * PAIRS + 2
/** And of a third one, with a light flow. */
const CLIENTS = BUSY_CLIENTS + 2
const LIGHT_SECONDS = 8
/** Bytes:weight. */
const MIX = '64:3,576:1,1420:4'
const ERROR_MAX = 0.1
const LIGHT_RATIO_MAX = 2

interface Part {
  readonly server: Server
  readonly from: number
  readonly load: Load
}

/** As much as the sockets of so many pairs accept. */
function busy(bench: Bench, count: number, size: number | string, seconds = bench.effort.seconds): Load {
  return { topology: 'pairs', count, rate: 'all', seconds, warmSeconds: bench.effort.warmSeconds, size }
}

/** Runs loads together, each with clients of its own, from that one on. */
async function runParts(bench: Bench, parts: readonly Part[]): Promise<Generator[]> {
  const commands = parts.map(async ({ server, from, load }) => ({
    args: [
      ...(await server.arguments(CLIENTS)),
      '--login-from',
      `${from}`,
      ...loadArguments(load),
      '--drain',
      '1',
    ],
    cpu: bench.cpuSets.generator,
  }))
  return await runTogether(await Promise.all(commands))
}

/** Bytes that arrived of the single pair, divided by those of all others together. */
async function shareOfOne(bench: Bench, server: Server, size: number | string): Promise<number> {
  const burner = spawn('taskset', ['-c', bench.cpuSets.server, process.execPath, '-e', 'for (;;);'])
  try {
    const [many, one] = await runParts(bench, [
      { server, from: 0, load: busy(bench, PAIRS, size) },
      { server, from: 2 * PAIRS, load: busy(bench, 1, 1420) },
    ])
    if (many !== undefined) bench.notes.addCommand(many.command)
    return (one?.all('load')[0]?.arrivedBytes ?? 0) / (many?.all('load')[0]?.arrivedBytes ?? 0)
  } finally {
    burner.kill('SIGKILL')
  }
}

/** p99 of the third tenant's packets. */
interface LightFlow {
  readonly aloneMs: number
  /** While the others are as busy at another relay, which leaves the processor to this one: what the generator and the machine add. */
  readonly elsewhereMs: number
  readonly besideMs: number
}

async function lightFlow(bench: Bench, server: Server, other: Server): Promise<LightFlow> {
  const seconds = bench.effort.isQuick ? bench.effort.seconds : LIGHT_SECONDS
  const light = { server, from: BUSY_CLIENTS, load: probeLoad(seconds, bench.effort.warmSeconds) }
  const othersAt = (one: Server): Part[] => [
    { server: one, from: 0, load: busy(bench, PAIRS, MIX, seconds) },
    { server: one, from: 2 * PAIRS, load: busy(bench, 1, 1420, seconds) },
  ]
  const p99 = async (...parts: Part[]): Promise<number> => {
    const [flow] = await runParts(bench, [light, ...parts])
    return pooledP99(flow?.all('load') ?? [])
  }
  await settle(bench, (load) => runParts(bench, [{ server, from: 0, load }]))
  return {
    aloneMs: await p99(),
    elsewhereMs: await p99(...othersAt(other)),
    besideMs: await p99(...othersAt(server)),
  }
}

/** What a third tenant with a light flow notices of the others. */
async function lightFlowRows(bench: Bench): Promise<Row[]> {
  const tenantOf = (client: number): string =>
    client < 2 * PAIRS ? 'many' : client < BUSY_CLIENTS ? 'one' : 'light'
  const keysFile = await bench.workFolder.keyList('keys-light', CLIENTS, tenantOf)
  const measured = await bench.interleaved([{ name: DERPFLEET }], () =>
    bench.withFresh(DERPFLEET, { keysFile }, (server) =>
      bench.withFresh(DERPFLEET, { keysFile, isIdle: true }, (other) => lightFlow(bench, server, other)),
    ),
  )
  const shown = { unit: 'ms', digits: 2 }
  const ratioShown = { unit: '×', digits: 2 }
  const ratio = rowOf(
    { label: '– beside both ÷ alone', ...ratioShown },
    measured,
    (of) => of.besideMs / of.aloneMs,
  )
  return [
    rowOf({ label: "a light flow's p99, alone", ...shown }, measured, ({ aloneMs }) => aloneMs),
    rowOf({ label: '– both at another relay', ...shown }, measured, ({ elsewhereMs }) => elsewhereMs),
    rowOf({ label: '– beside both', ...shown }, measured, ({ besideMs }) => besideMs),
    withOwnTarget(ratio, `≤ ${LIGHT_RATIO_MAX} ×`, (median) => median <= LIGHT_RATIO_MAX),
    rowOf(
      { label: '– beside both ÷ both at another relay', ...ratioShown },
      measured,
      (of) => of.besideMs / of.elsewhereMs,
    ),
  ]
}

const VARIANTS = [
  ['equal weights', '', 1420, 1],
  ['equal weights, the hundred with mixed sizes', '', MIX, 1],
  ['the single one with twice the weight', 'tenant one weight 2\n', 1420, 2],
] as const

export const fairness: Figure = {
  name: 'fairness',
  title: 'Two tenants at a relay that cannot carry both: a hundred pairs, and one',
  isSeparate: true,
  async measure(bench) {
    const rows: Row[] = []
    for (const [label, rules, size, weight] of VARIANTS) {
      const tenantOf = (client: number): string => (client < 2 * PAIRS ? 'many' : 'one')
      const keysFile = await bench.workFolder.keyList(`keys-${rows.length}`, BUSY_CLIENTS, tenantOf, rules)
      const measured = await bench.interleaved([{ name: DERPFLEET }], () =>
        bench.withFresh(DERPFLEET, { keysFile }, (server) => shareOfOne(bench, server, size)),
      )
      const row = rowOf(
        { label: `bytes of one / of many: ${label}`, unit: '×', digits: 2 },
        measured,
        (share) => share,
      )
      rows.push(
        withOwnTarget(row, `${weight} ± 10 %`, (median) => Math.abs(median / weight - 1) <= ERROR_MAX),
      )
    }
    return {
      rows: [...rows, ...(await lightFlowRows(bench))],
      notes: [
        `Each of ${PAIRS + 1} senders sends as much as its socket accepts. A process that computes takes half of the relay's processor, but beside the light flow: 1,000 packets of 64 bytes a second, of a third tenant. While both are at another relay, that has the processor only when this one does not want it: what the flow then notices comes of the generator and the machine, and is not the relay's.`,
      ],
    }
  },
}
