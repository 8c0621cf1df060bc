// CPU time of a complete login: TCP, TLS 1.3, HTTP upgrade, ClientInfo, ServerInfo; 64 logins in progress at a time. Once
// with X25519 at every server, and once as Tailscale's clients log in, where a server may take a group that costs more.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { goLogins } from '../load/build-go-logins.ts'
import { Generator } from '../load/generator-process.ts'
import type { GoLoginsOutcome } from '../load/outcome.ts'
import { rowOf, withBounds } from '../row.ts'
import { DERPER, type Server } from '../server.ts'
import { runIdlePhases, settleSeconds } from './idle-phases.ts'

/** About two seconds of CPU time, which is hundreds of ticks of 10 ms. */
const LOGINS = 2_000
const WARM_UP_ROUNDS = 3
const AT_LEAST = 1.3

interface Speed {
  readonly perCpuSecond: number
  readonly perSecond: number
}

/** How fast logins were. @param suffix which logins */
function rowsOf(measured: ReadonlyMap<Server, readonly Speed[]>, suffix: string): Row[] {
  const row = (what: string, of: (round: Speed) => number): Row =>
    rowOf({ label: `${what}${suffix}`, unit: '1/s', digits: 0 }, measured, of)
  return [
    withBounds(
      row('logins per CPU-second', ({ perCpuSecond }) => perCpuSecond),
      { server: DERPER, atLeast: AT_LEAST },
    ),
    row('logins per second', ({ perSecond }) => perSecond),
  ]
}

function speedOf({
  open,
  seconds,
  serverCpuSeconds,
}: Pick<GoLoginsOutcome, 'open' | 'seconds' | 'serverCpuSeconds'>): Speed {
  return { perCpuSecond: open / serverCpuSeconds, perSecond: open / seconds }
}

async function logInByGo(
  bench: Bench,
  server: Server,
  count: number,
  path: string,
): Promise<GoLoginsOutcome> {
  const common = await server.arguments(count)
  const args = [...common, '--hold', `${count}`, '--settle', `${settleSeconds(bench)}`]
  const generator = await Generator.start(args, bench.cpuSets.generator, { name: 'go-logins', path })
  try {
    await generator.done()
  } finally {
    await generator.stop()
  }
  bench.notes.addCommand(generator.command)
  const outcome = await generator.next('go-logins')
  if (outcome.failed > 0)
    bench.notes.addMark(`${server.name}: ${outcome.failed} logins as Go clients make them failed`)
  return outcome
}

/** Which key exchange group each server took. Ratios of servers that differ in it are marked: they are also those of the groups. */
function groupsNote(bench: Bench, measured: ReadonlyMap<Server, readonly GoLoginsOutcome[]>): string {
  const taken = [...measured].map(([{ name }, rounds]) => ({
    name,
    group: [...new Set(rounds.map(({ group }) => group || 'none'))].join(' or '),
  }))
  const texts = taken.map(({ name, group }) => `${group} at ${name}`).join(', ')
  if (new Set(taken.map(({ group }) => group)).size > 1)
    bench.notes.addMark(`servers took different key exchange groups of Go clients: ${texts}`)
  return `Key exchange group that the server took of a Go client: ${texts}.`
}

/** The rows of logins as Go clients make them. Without Go there is a note instead. */
async function measureGo(bench: Bench, count: number): Promise<{ rows: Row[]; notes: string[] }> {
  const program = await goLogins()
  if ('missing' in program) {
    const note = `Logins as Go clients make them were NOT measured: ${program.missing}.`
    bench.progress.print(`logins: ${note}`)
    return { rows: [], notes: [note] }
  }
  const overTls = bench.servers.filter(({ address }) => !address.isPlain)
  const measured = await bench.interleaved(overTls, (server) => logInByGo(bench, server, count, program.path))
  const speeds = new Map([...measured].map(([server, rounds]) => [server, rounds.map(speedOf)]))
  return {
    rows: rowsOf(speeds, ', as Go clients make them'),
    notes: [
      `As Go clients make them: by Go's TLS with its own choice of key exchange groups and cipher suites, which is that of Tailscale's clients.`,
      groupsNote(bench, measured),
    ],
  }
}

/** Logins that are not counted: the code of a login is compiled in its first thousands, once in the life of a process. */
async function warmUp(bench: Bench, server: Server, count: number): Promise<void> {
  bench.progress.step(`${server.name}: logins that are not counted`)
  for (let n = 0; n < WARM_UP_ROUNDS; n++) await runIdlePhases(bench, server, count, ['fresh', 'leave'])
}

export const logins: Figure = {
  name: 'logins',
  title: 'Complete logins',
  async measure(bench) {
    const count = bench.effort.isQuick ? LOGINS / 4 : LOGINS
    for (const server of bench.servers) await warmUp(bench, server, count)
    const measured = await bench.interleaved(bench.servers, async (server) => {
      // The clients leave before the next round begins, which would share the processor with their ends.
      const fresh = (await runIdlePhases(bench, server, count, ['fresh', 'leave'])).get('fresh')
      const { open = 0, seconds = Number.NaN, serverCpuSeconds = Number.NaN } = fresh ?? {}
      return speedOf({ open, seconds, serverCpuSeconds })
    })
    const byGo = await measureGo(bench, count)
    return {
      rows: [...rowsOf(measured, ''), ...byGo.rows],
      notes: [
        `${count} logins per round, after ${WARM_UP_ROUNDS * count} at each server that are not counted, 64 in progress at a time, X25519 and TLS_AES_128_GCM_SHA256, a P-256 certificate, no resumption.`,
        ...byGo.notes,
      ],
    }
  },
}
