// Runs the generator's phases of idle connections (login, reconnect, burst, ...) for the figures that need them.

import type { Bench } from '../bench.ts'
import { Generator } from '../load/generator-process.ts'
import type { PhaseOutcome } from '../load/outcome.ts'
import type { Server } from '../server.ts'

/** After a phase, until the server has finished what the phase left. */
export function settleSeconds({ effort }: Bench): number {
  return effort.isQuick ? 1 : 3
}

/** Which clients connect: so many, from that number of the prepared logins on. */
export interface IdleClients {
  readonly count: number
  readonly loginFrom?: number
}

/**
 * Opens connections, goes through the phases, and returns the outcome of each by name; the phase `before` is always
 * first.
 */
export async function runIdlePhases(
  bench: Bench,
  server: Server,
  { count: connections, loginFrom = 0 }: IdleClients,
  phases: readonly string[],
): Promise<Map<string, PhaseOutcome>> {
  const common = await server.arguments(loginFrom + connections)
  const what = ['--login-from', `${loginFrom}`, '--hold', `${connections}`, '--phases', phases.join(',')]
  const times = ['--quiet', `${bench.effort.quietSeconds}`, '--settle', `${settleSeconds(bench)}`]
  const generator = await Generator.start([...common, ...what, ...times], bench.cpuSets.generator)
  try {
    await generator.done()
  } finally {
    await generator.stop()
  }
  bench.notes.addCommand(generator.command)
  const outcomes = new Map(generator.all('phase').map((phase) => [phase.name, phase]))
  for (const { name, failed, closed, wrong } of outcomes.values()) {
    if (failed > 0)
      bench.notes.addMark(`${server.name}, ${connections} idle connections, ${name}: ${failed} logins failed`)
    if (closed > 0)
      bench.notes.addMark(`${server.name}, ${connections} idle connections, ${name}: ${closed} were closed`)
    if (wrong > 0)
      bench.notes.addMark(`${server.name}, ${connections} idle connections, ${name}: ${wrong} WRONG FRAMES`)
  }
  return outcomes
}
