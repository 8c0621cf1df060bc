// Half an hour at 70 % of the relay's own clean rate, with packets of mixed sizes, clients that connect and disconnect, half of all
// leaving at once every five minutes, and a receiver that is slower than its sender: checks that memory and delays do not grow and
// that the counters account for every packet. This checkout's relay only, the first one that is measured.

import { type Bench, LOGIN_POOL } from '../bench.ts'
import type { Figure, Row, Series } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import type { Generator } from '../load/generator-process.ts'
import { mergeLoadOutcomes, wrongFrames } from '../load/outcome.ts'
import { lossOf, probeLoad, type Load } from '../load/load.ts'
import { residentBytes } from '../process-stats.ts'
import { ownRow, withOwnTarget } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { DERPFLEET, OUR_NAMES, type Server } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'
import { Departures } from './departures.ts'

const SECONDS = 30 * 60
const SECONDS_QUICK = 20
const SHARE = 0.7
/** Typical sizes in tunnels: acknowledgements and disco, small datagrams, full packets. */
const MIX = '64:3,576:1,1420:4'
/** With CHURN_PER_SECOND, each client stays connected for ten seconds. */
const CHURN_CLIENTS = 200
const CHURN_PER_SECOND = 20
/** About as many as there are others: half of all leave at once, and come back. */
const LEAVING_CLIENTS = 220
const DEPARTURE_EVERY_SECONDS = 5 * 60
/** Of the departures in a run that is shorter. */
const DEPARTURES_MIN = 3
/** The receiver takes a third of what is sent to it, so that the relay drops the rest. */
const SLOW = { rate: 200, bytesPerSecond: 100_000 }
const MEMORY_INTERVAL_MS = 5_000
/**
 * The share of the run before which memory is not evaluated: heap and allocator grow to their size in the first
 * minutes.
 */
const SETTLED_SHARE = 0.25

type MemoryPoint = [seconds: number, megabytes: number]

/** Samples the memory of a process until stopped. */
function watchMemory(pid: number): { points: MemoryPoint[]; stop: () => void } {
  const points: MemoryPoint[] = []
  const started = performance.now()
  const timer = setInterval(() => {
    void residentBytes(pid).then((bytes) =>
      points.push([(performance.now() - started) / 1000, bytes / 2 ** 20]),
    )
  }, MEMORY_INTERVAL_MS)
  return { points, stop: () => clearInterval(timer) }
}

/** The slope of a series by least squares. */
export function slopeOf(points: readonly (readonly [number, number])[]): number {
  const count = points.length
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  return covariance / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
}

/**
 * Packets received and forwarded to this relay, minus packets sent, dropped and queued: 0 if every packet is accounted
 * for.
 */
async function imbalance(server: Server): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${server.adminPort ?? 0}/metrics`)
  const text = await response.text()
  const sum = (name: string): number => {
    const values = text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))
    return [...values].reduce((total, [, value]) => total + Number(value), 0)
  }
  const inward = sum('derp_received_packets_total') + sum('derp_mesh_forwarded_packets_total')
  if (inward === 0) return Number.NaN
  return (
    inward -
    sum('derp_sent_packets_total') -
    sum('derp_dropped_packets_total') -
    sum('derp_send_queue_packets')
  )
}

/** A quick run may be longer: --seconds. */
function secondsOf({ effort }: Bench): number {
  return effort.isQuick ? Math.max(SECONDS_QUICK, effort.seconds) : SECONDS
}

function own(label: string, unit: string, digits: number, value: number): Row {
  return ownRow({ label, unit, digits }, [value])
}

/** The probe's p99.9 per minute. */
function minutesOf(probe: Generator | undefined): [number, number][] {
  return (probe?.all('interval') ?? []).map(({ atSeconds, delays }) => [
    atSeconds / 60,
    delayMs(delays, 0.999),
  ])
}

async function soakOn(
  bench: Bench,
  server: Server,
  rate: number,
): Promise<{ rows: Row[]; series: Series[] }> {
  const seconds = secondsOf(bench)
  const warmSeconds = bench.effort.isQuick ? 2 : 10
  const load = bench.load(rate, 10, { size: MIX, seconds, warmSeconds })
  const probe = { ...probeLoad(seconds, warmSeconds), intervalSeconds: bench.effort.isQuick ? 2 : 60 }
  const slow: Load = {
    ...bench.load(SLOW.rate, 1, { seconds, warmSeconds }),
    topology: 'fan-in',
    slow: { bytesPerSecond: SLOW.bytesPerSecond, untilSeconds: 2 * seconds },
    sleeps: true,
  }
  const logins = await server.arguments(LOGIN_POOL + CHURN_CLIENTS + LEAVING_CLIENTS)
  const time = ['--secs', `${seconds}`, '--warm', `${warmSeconds}`]
  const churnOptions = ['--churn', `${CHURN_CLIENTS}`, '--rate', `${CHURN_PER_SECOND}`]
  const churn = [...logins, '--login-from', `${LOGIN_POOL}`, ...churnOptions, ...time]
  const memory = watchMemory(server.pid)
  const leaving = { count: LEAVING_CLIENTS, loginFrom: LOGIN_POOL + CHURN_CLIENTS }
  const departures = new Departures(logins, leaving, bench.cpuSets.generator)
  const running = bench.runGenerators(server, [load, probe, slow], [churn]).finally(memory.stop)
  const everyMs = 1_000 * Math.min(DEPARTURE_EVERY_SECONDS, seconds / DEPARTURES_MIN)
  const [{ byLoad, extra }] = await Promise.all([running, departures.run(everyMs, running)])
  const outcome = mergeLoadOutcomes((byLoad[0] ?? []).flatMap((generator) => generator.all('load')))
  const churned = await extra[0]?.next('churn')
  const settled = memory.points.filter(([at]) => at > SETTLED_SHARE * seconds)
  const minutes = minutesOf(byLoad[1]?.[0])
  const third = Math.max(1, Math.floor(minutes.length / 3))
  const early = sampleOf(minutes.slice(0, third).map(([, ms]) => ms)).median
  const late = sampleOf(minutes.slice(-third).map(([, ms]) => ms)).median
  const slope = own('memory gained once settled', 'MB/h', 1, slopeOf(settled) * 3_600)
  const unbalanced = own('packets not accounted for', '', 0, await imbalance(server))
  const wrong = own('wrong frames', '', 0, wrongFrames(outcome))
  return {
    rows: [
      // A slope of a hundredth of a fresh process per hour is a variation of the allocator, not a leak.
      bench.effort.isQuick ? slope : withOwnTarget(slope, '≤ 20 MB/h', (median) => median <= 20),
      own('memory at the end', 'MB', 0, memory.points.at(-1)?.[1] ?? Number.NaN),
      own("probe's p99.9, first third", 'ms', 2, early),
      withOwnTarget(
        own('– last third', 'ms', 2, late),
        '≤ 1.25 × the first',
        (median) => median <= 1.25 * early,
      ),
      withOwnTarget(unbalanced, '0', (median) => median === 0),
      withOwnTarget(wrong, '0', (median) => median === 0),
      own('lost', '%', 3, 100 * lossOf(outcome)),
      own(`times that ${LEAVING_CLIENTS} clients left at once`, '', 0, departures.count),
      own('logins of clients that connect and disconnect', '', 0, churned?.logins ?? Number.NaN),
      withOwnTarget(own('– failed', '', 0, churned?.failed ?? Number.NaN), '0', (median) => median === 0),
    ],
    series: [
      { name: 'soak-memory', points: { [server.name]: memory.points.map(([at, mb]) => [at / 60, mb]) } },
      { name: 'soak-p99.9', points: { [server.name]: minutes } },
    ],
  }
}

export const soak: Figure = {
  name: 'soak',
  title: 'Soak',
  isSeparate: true,
  async measure(bench) {
    const ours = bench.servers.find(({ name }) => OUR_NAMES.includes(name))
    if (ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rate = SHARE * (await knownCleanRate(bench, ours))
    const { rows, series } = await bench.withFresh(ours.name, {}, (server) => soakOn(bench, server, rate))
    return {
      rows,
      series,
      notes: [
        `${ours.name}, ${secondsOf(bench)} s at ${Math.round(rate)} packets/s in 10 pairs, sizes ${MIX} (bytes:weight), ${CHURN_PER_SECOND} logins per second by ${CHURN_CLIENTS} clients that connect and disconnect, ${LEAVING_CLIENTS} clients that leave together, a receiver that takes ${SLOW.bytesPerSecond / 1_000} KB of the ${Math.round((SLOW.rate * 1_420) / 1_000)} KB that it is sent in a second, and a probe. The slope of memory does not include the first quarter.`,
      ],
    }
  },
}
