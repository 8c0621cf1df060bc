// Resident memory per idle TLS connection: in a fresh process, after all connections were closed and opened again, and
// after each has sent and received 60 KB and then been idle. Each round uses a new process.

import type { Figure, Row } from '../figure.ts'
import type { PhaseOutcome } from '../load/outcome.ts'
import type { Bench } from '../bench.ts'
import { rowOf, withBounds, type Bound } from '../row.ts'
import { OLD_DERPER, DERPER, type Server } from '../server.ts'
import { runIdlePhases } from './idle-phases.ts'

/** A round takes minutes, and rounds differ little. */
const ROUNDS_MAX = 3

const PHASES = [
  [
    'fresh',
    'fresh',
    [
      { server: DERPER, atMost: 1.15 },
      { server: OLD_DERPER, atMost: 0.5 },
    ],
  ],
  [
    'reconnect',
    'after all reconnected once',
    [
      { server: DERPER, atMost: 1.15 },
      { server: OLD_DERPER, atMost: 0.5 },
    ],
  ],
  ['quiet', 'after a 60 KB burst each and a quiet minute', [{ server: DERPER, atMost: 1.25 }]],
] as const satisfies readonly (readonly [string, string, readonly Bound[]])[]

/** Uses a new server of that name, or the server itself if it was not started here. */
async function hold(bench: Bench, server: Server): Promise<Map<string, PhaseOutcome>> {
  const phases = ['fresh', 'reconnect', 'burst', 'quiet', 'leave']
  const clients = { count: bench.effort.idleConnections }
  if (!server.isOwn) return runIdlePhases(bench, server, clients, phases)
  return bench.withFresh(server.name, {}, (alone) => runIdlePhases(bench, alone, clients, phases))
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
        `${count} connections to a fresh process, ${rounds} rounds. VmRSS minus VmRSS before the first connection, divided by the number of connections. In the burst each connection sends to the next, in parts of 16 packets; then all are idle for ${bench.effort.quietSeconds} s.`,
      ],
    }
  },
}
