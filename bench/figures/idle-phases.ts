// Runs of idle connections, for the figures that need them: the generator's phases, by name.

import type { Bench } from '../bench.ts'
import { Generator } from '../load/generator-process.ts'
import type { PhaseOutcome } from '../load/outcome.ts'
import type { Server } from '../server.ts'

/** Holds connections through phases and answers what each said; `before` is always the first. */
export async function holdPhases(
  bench: Bench,
  server: Server,
  connections: number,
  phases: readonly string[],
): Promise<Map<string, PhaseOutcome>> {
  const settle = bench.effort.isQuick ? 1 : 3
  const common = await server.arguments(connections)
  const what = ['--hold', `${connections}`, '--phases', phases.join(',')]
  const times = ['--quiet', `${bench.effort.quietSeconds}`, '--settle', `${settle}`]
  const generator = await Generator.start([...common, ...what, ...times], bench.places.generator)
  try {
    await generator.done()
  } finally {
    await generator.stop()
  }
  bench.note(generator.command)
  const outcomes = new Map(generator.all('phase').map((phase) => [phase.name, phase]))
  for (const { name, failed, closed, wrong } of outcomes.values()) {
    if (failed > 0)
      bench.mark(`${server.name}, ${connections} idle connections, ${name}: ${failed} logins failed`)
    if (closed > 0)
      bench.mark(`${server.name}, ${connections} idle connections, ${name}: ${closed} were closed`)
    if (wrong > 0)
      bench.mark(`${server.name}, ${connections} idle connections, ${name}: ${wrong} WRONG FRAMES`)
  }
  return outcomes
}
