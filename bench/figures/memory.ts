// Resident memory per idle TLS connection: on a fresh process, after all have left and come back once, after each has
// sent and received 60 KB and then been quiet. Each round is a process of its own.

import type { Figure, Row } from '../figure.ts'
import type { PhaseOutcome } from '../load/outcome.ts'
import type { Bench } from '../bench.ts'
import { rowOf, withBounds, type Bound } from '../row.ts'
import { ELDER, RIVAL, type Server } from '../server.ts'
import { holdPhases } from './idle-phases.ts'

/** A round takes minutes and differs little from the next. */
const ROUNDS_MAX = 3

const PHASES = [
  [
    'fresh',
    'fresh',
    [
      { than: RIVAL, atMost: 1.3 },
      { than: ELDER, atMost: 0.5 },
    ],
  ],
  [
    'reconnect',
    'after all reconnected once',
    [
      { than: RIVAL, atMost: 1.3 },
      { than: ELDER, atMost: 0.5 },
    ],
  ],
  ['quiet', 'after a 60 KB burst each and a quiet minute', [{ than: RIVAL, atMost: 1.3 }]],
] as const satisfies readonly (readonly [string, string, readonly Bound[]])[]

/** A server of that name for one round alone, or the one that somebody else started. */
async function hold(bench: Bench, server: Server): Promise<Map<string, PhaseOutcome>> {
  const phases = ['fresh', 'reconnect', 'burst', 'quiet', 'leave']
  if (!server.isOwn) return holdPhases(bench, server, bench.effort.idleConnections, phases)
  return bench.withFresh(server.name, {}, (alone) =>
    holdPhases(bench, alone, bench.effort.idleConnections, phases),
  )
}

export const memory: Figure = {
  name: 'memory',
  title: 'Resident memory per idle TLS connection',
  async measure(bench) {
    const rounds = Math.min(bench.effort.rounds, ROUNDS_MAX)
    const count = bench.effort.idleConnections
    const measured = await bench.interleaved(bench.servers, (server) => hold(bench, server), rounds)
    const perConnection = (phases: Map<string, PhaseOutcome>, name: string): number => {
      const [before, then] = [phases.get('before'), phases.get(name)]
      return before === undefined || then === undefined
        ? Number.NaN
        : (then.serverRssKb - before.serverRssKb) / then.open
    }
    const rows: Row[] = PHASES.map(([phase, label, bounds]) => {
      const row = rowOf({ label, unit: 'KB', digits: 1 }, measured, (phases) => perConnection(phases, phase))
      return withBounds(row, ...bounds)
    })
    const inMb = (phase: string): ((phases: Map<string, PhaseOutcome>) => number) => {
      return (phases) => (phases.get(phase)?.serverRssKb ?? Number.NaN) / 1024
    }
    return {
      rows: [
        ...rows,
        rowOf({ label: 'whole process before', unit: 'MB', digits: 0 }, measured, inMb('before')),
        rowOf({ label: 'whole process at its most', unit: 'MB', digits: 0 }, measured, (phases) =>
          Math.max(...['fresh', 'reconnect', 'burst', 'quiet'].map((phase) => inMb(phase)(phases))),
        ),
        rowOf({ label: 'whole process after all have left', unit: 'MB', digits: 0 }, measured, inMb('leave')),
      ],
      notes: [
        `${count} connections on a fresh process, ${rounds} rounds. VmRSS less what it was before the first connection, divided by the connections; the burst goes to a neighbour, in pieces of 16 packets; quiet for ${bench.effort.quietSeconds} s.`,
      ],
    }
  },
}
