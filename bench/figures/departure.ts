// Many clients leave at the same moment, as when a network between them and the relay fails: their process is killed, so that
// the system ends all their connections at once. A probe between two clients that stay measures the service meanwhile.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, LOGIN_POOL } from '../bench.ts'
import type { Figure } from '../figure.ts'
import { Generator } from '../load/generator-process.ts'
import { delayMs } from '../load/delays.ts'
import { heldClientArguments } from '../load/held-clients.ts'
import { probeLoad } from '../load/load.ts'
import { cpuSeconds } from '../process-stats.ts'
import { rowOf, withBounds } from '../row.ts'
import { DERPER, type Server } from '../server.ts'

const CLIENTS = 12_000
const CLIENTS_QUICK = 1_000
/** The probe runs that long before the others leave; the rest of its window is for the departure. */
const BEFORE_SECONDS = 2
const SECONDS = 6
/** derper drops the oldest of 32 packets that wait: with more in a second, it would lose what others deliver late. */
const PROBE_RATE = 100

interface Departure {
  readonly longestMs: number
  readonly p99Ms: number
  readonly lost: number
  readonly cpuUsPerClient: number
}

async function departFrom(bench: Bench, server: Server): Promise<Departure> {
  const clients = bench.effort.isQuick ? CLIENTS_QUICK : CLIENTS
  const args = await server.arguments(LOGIN_POOL + clients)
  const held = heldClientArguments({ count: clients, loginFrom: LOGIN_POOL, settleSeconds: 1 })
  const leaving = await Generator.start([...args, ...held], bench.cpuSets.generator)
  try {
    const { open } = await leaving.next('phase', ({ name }) => name === 'fresh')
    if (open < clients)
      bench.notes.addMark(`${server.name}: only ${open} of ${clients} clients were connected`)
    const probing = bench.runLoads(server, [{ ...probeLoad(SECONDS, 1), rate: PROBE_RATE }])
    await sleep(1_000 * (1 + BEFORE_SECONDS))
    const before = await cpuSeconds(server.pid)
    await leaving.stop()
    const [probe] = await probing
    const used = (await cpuSeconds(server.pid)) - before
    if (probe === undefined) throw new Error('a probe without an outcome')
    return {
      longestMs: probe.delays.maxNs / 1e6,
      p99Ms: delayMs(probe.delays, 0.99),
      lost: probe.due - probe.received,
      cpuUsPerClient: (1e6 * used) / open,
    }
  } finally {
    await leaving.stop()
  }
}

export const departure: Figure = {
  name: 'departure',
  title: 'Many clients leave at once',
  async measure(bench) {
    const own = bench.servers.filter(({ isOwn }) => isOwn)
    const measured = await bench.interleaved(own, ({ name }) =>
      bench.withFresh(name, {}, (fresh) => departFrom(bench, fresh)),
    )
    const longest = rowOf(
      { label: "probe's longest delay", unit: 'ms', digits: 1 },
      measured,
      ({ longestMs }) => longestMs,
    )
    return {
      rows: [
        withBounds(longest, { server: DERPER, atMost: 1.2 }),
        rowOf({ label: "probe's p99", unit: 'ms', digits: 2 }, measured, ({ p99Ms }) => p99Ms),
        rowOf({ label: "probe's packets lost", unit: '', digits: 0 }, measured, ({ lost }) => lost),
        rowOf(
          { label: 'CPU time, probe included, per client that leaves', unit: 'µs', digits: 0 },
          measured,
          ({ cpuUsPerClient }) => cpuUsPerClient,
        ),
      ],
      notes: [
        `${bench.effort.isQuick ? CLIENTS_QUICK : CLIENTS} clients of one process, which is killed. The probe sends 64-byte packets, ${PROBE_RATE} per second, for ${SECONDS} s; the clients leave after ${BEFORE_SECONDS} s of them.`,
      ],
    }
  },
}
