// What clients that have nothing to do with an attack notice of it: three attacks by which a source with many connections
// takes more than its share, each on a fresh server, and a probe beside each.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { AttackProcess, type AttackKind } from '../load/attack-process.ts'
import { delayMs } from '../load/delays.ts'
import { type Load, probeLoad } from '../load/load.ts'
import type { LoadOutcome } from '../load/outcome.ts'
import { rowOf, withBounds } from '../row.ts'
import { DERPER, type Server } from '../server.ts'
import { settle } from './settled.ts'

const SECONDS = 8

interface Attack {
  readonly label: string
  readonly count: number
  readonly kind: AttackKind | 'slow-receiver'
}

const ATTACKS: readonly Attack[] = [
  { label: '100 senders to a slow receiver', count: 100, kind: 'slow-receiver' },
  { label: '500 connections of one key', count: 500, kind: 'one-key' },
  { label: '300 unfinished logins of 256 KiB', count: 300, kind: 'unfinished-logins' },
]

export const attacks: Figure = {
  name: 'attacks',
  title: 'A bystander beside attacks',
  async measure(bench) {
    const own = bench.servers.filter(({ isOwn }) => isOwn)
    // From round to round, a p99 of eight seconds varies fivefold at either server.
    const rounds = 2 * bench.effort.rounds - 1
    const rows: Row[] = []
    for (const attack of ATTACKS) {
      bench.progress.step(attack.label)
      const measured = await bench.interleaved(
        own,
        ({ name }) =>
          bench.withFresh(name, {}, async (fresh) => {
            await settle(bench, (load) => bench.runLoad(fresh, load))
            return await probeBeside(bench, fresh, attack)
          }),
        rounds,
      )
      const p99 = rowOf(
        { label: `${attack.label}: bystander's p99`, unit: 'ms', digits: 2 },
        measured,
        (probe) => delayMs(probe.delays, 0.99),
      )
      rows.push(
        withBounds(p99, { server: DERPER, atMost: 2 }),
        rowOf({ label: '– p50', unit: 'ms', digits: 2 }, measured, (probe) => delayMs(probe.delays, 0.5)),
        rowOf(
          { label: '– loss', unit: '%', digits: 2 },
          measured,
          ({ due, received }) => 100 * (1 - received / due),
        ),
      )
    }
    return {
      rows,
      notes: [
        `${rounds} rounds. derpfleet has one relay thread, as it has by default on one processor, so bystanders share it with the attackers. The probe sends 64-byte packets, 1,000 per second, for ${SECONDS} s. The slow receiver reads 1 MB/s. The connections of one key send to that key as fast as they can. The logins lack their last byte; each comes back when the server has ended it.`,
      ],
    }
  },
}

async function probeBeside(bench: Bench, server: Server, attack: Attack): Promise<LoadOutcome> {
  const seconds = bench.effort.isQuick ? 4 : SECONDS
  const { warmSeconds } = bench.effort
  const probe = probeLoad(seconds, warmSeconds)
  const { kind, count } = attack
  if (kind !== 'slow-receiver') {
    const attackers = await AttackProcess.start(kind, { count, server, cpus: bench.cpuSets.generator })
    try {
      return await bench.runLoad(server, probe)
    } finally {
      await attackers.stop()
    }
  }
  const slow = { bytesPerSecond: 1_000_000, untilSeconds: warmSeconds + seconds }
  const flood: Load = { topology: 'fan-in', count, rate: 'all', seconds, warmSeconds, slow }
  const [, beside] = await bench.runLoads(server, [flood, probe])
  if (beside === undefined) throw new Error('a probe without an outcome')
  return beside
}
