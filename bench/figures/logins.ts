// CPU time of a complete login: TCP, TLS 1.3, HTTP upgrade, ClientInfo, ServerInfo; 64 logins in progress at a time. Once
// with X25519 at every server, and once as Tailscale's clients log in, where a server may take a group that costs more; of
// clients that the server has not seen before, and of clients that come back.

import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { goLogins } from '../load/build-go-logins.ts'
import { Generator } from '../load/generator-process.ts'
import type { GoLoginsOutcome } from '../load/outcome.ts'
import { rowOf, withBounds, type Bound } from '../row.ts'
import { DERPER, type Server } from '../server.ts'
import { runIdlePhases, settleSeconds, type IdleClients } from './idle-phases.ts'

/** About two seconds of CPU time, which is hundreds of ticks of 10 ms. */
const LOGINS = 2_000
/** The code of a login is compiled in its first twelve thousands; by then the ratio to derper stays the same. */
const WARM_UP_ROUNDS = 6
const AT_LEAST = 1.3
const BACK = ', clients that come back'

interface Speed {
  readonly perCpuSecond: number
  readonly perSecond: number
}

/** How fast logins were. @param suffix which logins */
function rowsOf(
  measured: ReadonlyMap<Server, readonly Speed[]>,
  suffix: string,
  bounds: readonly Bound[] = [{ server: DERPER, atLeast: AT_LEAST }],
): Row[] {
  const row = (what: string, of: (round: Speed) => number): Row =>
    rowOf({ label: `${what}${suffix}`, unit: '1/s', digits: 0 }, measured, of)
  return [
    withBounds(
      row('logins per CPU-second', ({ perCpuSecond }) => perCpuSecond),
      ...bounds,
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

/** Prepared logins of clients that a server has not seen: each is used once. */
class NewClients {
  readonly #count: number
  readonly #usedAt = new Map<Server, number>()

  /** @param count logins of a round */
  constructor(count: number) {
    this.#count = count
  }

  /** Those of a further round. The first ones, which come back, are no part of them. */
  next(server: Server): Required<IdleClients> {
    const loginFrom = this.#usedAt.get(server) ?? this.#count
    this.#usedAt.set(server, loginFrom + this.#count)
    return { count: this.#count, loginFrom }
  }
}

async function logInByGo(
  bench: Bench,
  server: Server,
  { count, loginFrom }: Required<IdleClients>,
  path: string,
): Promise<GoLoginsOutcome> {
  const common = await server.arguments(loginFrom + count)
  const what = ['--login-from', `${loginFrom}`, '--hold', `${count}`]
  const args = [...common, ...what, '--settle', `${settleSeconds(bench)}`]
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
async function measureGo(
  bench: Bench,
  count: number,
  newClients: NewClients,
): Promise<{ rows: Row[]; notes: string[] }> {
  const program = await goLogins()
  if ('missing' in program) {
    const note = `Logins as Go clients make them were NOT measured: ${program.missing}.`
    bench.progress.print(`logins: ${note}`)
    return { rows: [], notes: [note] }
  }
  const overTls = bench.servers.filter(({ address }) => !address.isPlain)
  const { path } = program
  const ofNew = await bench.interleaved(overTls, (one) => logInByGo(bench, one, newClients.next(one), path))
  const back = { count, loginFrom: 0 }
  const returning = await bench.interleaved(overTls, (one) => logInByGo(bench, one, back, path))
  const speeds = (of: typeof ofNew): Map<Server, Speed[]> =>
    new Map([...of].map(([server, rounds]) => [server, rounds.map(speedOf)]))
  return {
    rows: [
      ...rowsOf(speeds(ofNew), ', as Go clients make them'),
      ...rowsOf(speeds(returning), `, as Go clients make them${BACK}`),
    ],
    notes: [
      `As Go clients make them: by Go's TLS with its own choice of key exchange groups and cipher suites, which is that of Tailscale's clients.`,
      groupsNote(bench, ofNew),
    ],
  }
}

/**
 * Logins that are not counted: the code of a login is compiled in its first thousands, once in the life of a process. Those of
 * clients that will come back are the last ones.
 *
 * @returns how fast the first were
 */
async function warmUp(bench: Bench, server: Server, count: number, newClients: NewClients): Promise<Speed> {
  bench.progress.step(`${server.name}: logins that are not counted`)
  // All that will be needed, and some to repeat rounds: to prepare them takes seconds.
  await server.arguments(count * (1 + WARM_UP_ROUNDS + 3 * bench.effort.rounds))
  const first = await logIn(bench, server, newClients.next(server))
  for (let n = 2; n < WARM_UP_ROUNDS; n++) await logIn(bench, server, newClients.next(server))
  await logIn(bench, server, { count })
  return first
}

async function logIn(bench: Bench, server: Server, clients: IdleClients): Promise<Speed> {
  // The clients leave before the next round begins, which would share the processor with their ends.
  const fresh = (await runIdlePhases(bench, server, clients, ['fresh', 'leave'])).get('fresh')
  const { open = 0, seconds = Number.NaN, serverCpuSeconds = Number.NaN } = fresh ?? {}
  return speedOf({ open, seconds, serverCpuSeconds })
}

export const logins: Figure = {
  name: 'logins',
  title: 'Complete logins',
  async measure(bench) {
    const count = bench.effort.isQuick ? LOGINS / 4 : LOGINS
    const newClients = new NewClients(count)
    const first = new Map<Server, Speed[]>()
    for (const server of bench.servers) first.set(server, [await warmUp(bench, server, count, newClients)])
    const ofNew = await bench.interleaved(bench.servers, (one) => logIn(bench, one, newClients.next(one)))
    const returning = await bench.interleaved(bench.servers, (one) => logIn(bench, one, { count }))
    const byGo = await measureGo(bench, count, newClients)
    const [cold] = rowsOf(first, ', the first ones of a new process', [])
    return {
      rows: [...rowsOf(ofNew, ''), ...rowsOf(returning, BACK), ...(cold ? [cold] : []), ...byGo.rows],
      notes: [
        `${count} logins per round, after ${WARM_UP_ROUNDS * count} at each server that are not counted, 64 in progress at a time, X25519 and TLS_AES_128_GCM_SHA256, a P-256 certificate, no resumption.`,
        `Clients that come back have logged in at this server before, as nearly all do when an outage ends; all others are new to it.`,
        ...byGo.notes,
      ],
    }
  },
}
