// How two tenants share a relay that cannot carry what they send: one has a hundred busy pairs of clients, the other one a single
// one. A process that computes takes half of the relay's processor, so that the relay is the limit and not the generator. This
// checkout's relay only: derper knows no tenants.

import { spawn } from 'node:child_process'
import type { Bench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { runTogether } from '../load/generator-process.ts'
import { loadArguments, type Load } from '../load/load.ts'
import { rowOf, withOwnTarget } from '../row.ts'
import { DERPFLEET, type Server } from '../server.ts'

const PAIRS = 100
/** Of the two tenants: sender and receiver of each pair. */
const CLIENTS = 2 * PAIRS + 2
/** Bytes:weight. */
const MIX = '64:3,576:1,1420:4'
const ERROR_MAX = 0.1

/** Bytes that arrived of the single pair, divided by those of all others together. */
async function shareOfOne(bench: Bench, server: Server, size: number | string): Promise<number> {
  const args = await server.arguments(CLIENTS)
  const { seconds, warmSeconds } = bench.effort
  const load = (count: number, ofSize: number | string): Load => ({
    topology: 'pairs',
    count,
    rate: 'all',
    seconds,
    warmSeconds,
    size: ofSize,
  })
  const burner = spawn('taskset', ['-c', bench.cpuSets.server, process.execPath, '-e', 'for (;;);'])
  try {
    const [many, one] = await runTogether(
      [['0', load(PAIRS, size)] as const, [`${2 * PAIRS}`, load(1, 1420)] as const].map(([from, one]) => ({
        args: [...args, '--login-from', from, ...loadArguments(one), '--drain', '1'],
        cpu: bench.cpuSets.generator,
      })),
    )
    if (many !== undefined) bench.notes.addCommand(many.command)
    return (one?.all('load')[0]?.arrivedBytes ?? 0) / (many?.all('load')[0]?.arrivedBytes ?? 0)
  } finally {
    burner.kill('SIGKILL')
  }
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
    const rows = []
    for (const [label, rules, size, weight] of VARIANTS) {
      const tenantOf = (client: number): string => (client < 2 * PAIRS ? 'many' : 'one')
      const keysFile = await bench.workFolder.keyList(`keys-${rows.length}`, CLIENTS, tenantOf, rules)
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
      rows,
      notes: [
        `Each of ${PAIRS + 1} senders sends as much as its socket accepts. A process that computes takes half of the relay's processor.`,
      ],
    }
  },
}
