// Response time of STUN while the relay is saturated: 1,000 binding requests per second, alone and beside as many
// packets as can be sent.

import type { Bench } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { runTogether } from '../load/generator-process.ts'
import type { StunOutcome } from '../load/outcome.ts'
import { rowOf, withOwnTarget } from '../row.ts'
import type { Server } from '../server.ts'

const REQUESTS_PER_SECOND = 1_000

async function ask(bench: Bench, server: Server, beside: 'nothing' | 'saturation'): Promise<StunOutcome> {
  const { seconds, warmSeconds } = bench.effort
  const address = ['--addr', `${server.address.host}:${server.stunPort ?? 0}`]
  const time = ['--secs', `${seconds}`, '--warm', `${warmSeconds}`]
  const args = [...address, '--stun', '--rate', `${REQUESTS_PER_SECOND}`, ...time, '--realtime']
  const generators =
    beside === 'nothing'
      ? await runTogether([{ args, cpu: bench.cpuSets.generator }])
      : (await bench.runGenerators(server, [bench.load('all')], [args])).extra
  const [generator] = generators
  if (generator === undefined) throw new Error('a STUN run without a generator')
  bench.notes.addCommand(generator.command)
  return generator.next('stun')
}

export const stun: Figure = {
  name: 'stun',
  title: 'STUN while the relay is saturated',
  async measure(bench) {
    const servers = bench.servers.filter(({ stunPort }) => stunPort !== undefined)
    const measured = await bench.interleaved(servers, async (server) => {
      const alone = await ask(bench, server, 'nothing')
      const beside = await ask(bench, server, 'saturation')
      return {
        alone: delayMs(alone.delays, 0.99),
        beside: delayMs(beside.delays, 0.99),
        unanswered: 100 * (1 - beside.received / beside.sent),
      }
    })
    const ratio = rowOf(
      { label: 'p99 under saturation / p99 unloaded', unit: '×', digits: 2 },
      measured,
      (round) => round.beside / round.alone,
    )
    return {
      rows: [
        rowOf({ label: 'p99 unloaded', unit: 'ms', digits: 3 }, measured, ({ alone }) => alone),
        rowOf({ label: 'p99 under saturation', unit: 'ms', digits: 3 }, measured, ({ beside }) => beside),
        withOwnTarget(ratio, '≤ 2 ×', (median) => median <= 2),
        rowOf(
          { label: 'unanswered under saturation', unit: '%', digits: 2 },
          measured,
          ({ unanswered }) => unanswered,
        ),
      ],
      notes: [
        `${REQUESTS_PER_SECOND} requests per second from a process with real-time priority; the load is 10 pairs at all that can be sent. The server has one processor for STUN and packets.`,
      ],
    }
  },
}
