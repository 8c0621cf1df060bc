// Reconnection after a crash: the server is killed and restarted on the same port, all clients reconnect at once
// without back-off, and a probe between two of the first that are back measures the service meanwhile.

import type { Figure } from '../figure.ts'
import { Generator } from '../load/generator-process.ts'
import { delayMs } from '../load/delays.ts'
import type { StormOutcome } from '../load/outcome.ts'
import type { Bench } from '../bench.ts'
import { rowOf, withOwnTarget } from '../row.ts'
import type { Server } from '../server.ts'

/** Ten thousand logins take a core ten to twenty seconds; a server that needs longer than this limit has failed. */
const LIMIT_SECONDS = 120
/** Each round restarts a server with all clients; three are enough. */
const ROUNDS_MAX = 3

/** @param beforeRestart is awaited once all clients are connected */
export async function restartWithClients(
  bench: Bench,
  server: Server,
  beforeRestart: () => Promise<void> = () => Promise.resolve(),
): Promise<StormOutcome> {
  const clients = bench.effort.idleConnections
  const args = [...(await server.arguments(clients)), '--storm', `${clients}`, '--secs', `${LIMIT_SECONDS}`]
  // The restart replaces the process that --pid names.
  const generator = await Generator.start(withoutPid(args), bench.cpuSets.generator)
  try {
    await generator.next('held')
    await beforeRestart()
    await server.restart()
    await generator.done()
    bench.notes.addCommand(generator.command)
    const outcome = await generator.next('storm')
    const failed = Object.entries(outcome.failedAt).filter(([, count]) => count > 0)
    const list = failed.map(([phase, count]) => `${count} in ${phase}`).join(', ')
    if (failed.length > 0) bench.notes.addMark(`${server.name}: failed logins by phase: ${list}`)
    return outcome
  } finally {
    await generator.stop()
  }
}

export function failedLogins({ failedLogins: failed, lost, back }: StormOutcome): number {
  return failed + lost - back
}

function withoutPid(args: readonly string[]): string[] {
  const at = args.indexOf('--pid')
  return at < 0 ? [...args] : args.toSpliced(at, 2)
}

export const storm: Figure = {
  name: 'storm',
  title: 'All clients reconnect after a restart',
  async measure(bench) {
    const own = bench.servers.filter(({ isOwn }) => isOwn)
    const rounds = Math.min(bench.effort.rounds, ROUNDS_MAX)
    const measured = await bench.interleaved(
      own,
      ({ name }) => bench.withFresh(name, {}, (fresh) => restartWithClients(bench, fresh)),
      rounds,
    )
    const seconds = { unit: 's', digits: 2 }
    const failed = rowOf({ label: 'failed logins', unit: '', digits: 0 }, measured, failedLogins)
    const p99 = rowOf({ label: "early pair's p99 meanwhile", unit: 'ms', digits: 1 }, measured, (round) =>
      delayMs(round.probeDelays, 0.99),
    )
    return {
      rows: [
        withOwnTarget(failed, '0', (median) => median === 0),
        withOwnTarget(p99, '≤ 50 ms', (median) => median <= 50),
        rowOf(
          { label: '– its packets lost', unit: '%', digits: 2 },
          measured,
          (round) => 100 * (1 - round.probeReceived / round.probeSent),
        ),
        rowOf({ ...seconds, label: 'half are back' }, measured, (round) => round.halfBackSeconds),
        rowOf({ ...seconds, label: '99 % are back' }, measured, (round) => round.almostAllBackSeconds),
        rowOf({ ...seconds, label: 'all are back' }, measured, (round) => round.allBackSeconds),
        rowOf(
          { label: 'logins that took over 10 s', unit: '', digits: 0 },
          measured,
          (round) => round.loginsOver10s,
        ),
        rowOf(
          { label: 'slowest login', unit: 's', digits: 2 },
          measured,
          (round) => round.loginTimes.maxNs / 1e9,
        ),
      ],
      notes: [
        `${bench.effort.idleConnections} clients; SIGKILL, then a restart on the same port. Times count from the first dial that was accepted again. A dial that is refused because no server listens is repeated after 50 ms; a connection that was accepted and closed before its login was done is a failed login. Tailscale's own clients allow 10 s for a login.`,
      ],
    }
  },
}
