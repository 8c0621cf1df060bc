// What a packet costs that crosses a link between two relays of a mesh, beside two derpers: processor time of both
// relays together, and the delay that the second relay adds. And what a relay's own clients feel of a sibling that
// stalls while others send to it.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { mergeFlows, type FlowOutcome } from '../load/outcome.ts'
import { cpuUsPerFrame, lossOf, probeLoad } from '../load/load.ts'
import { Couple, startMesh } from '../mesh.ts'
import { rowOf, withBounds, withOwnTarget } from '../row.ts'
import { OURS, RIVAL } from '../server.ts'
import { roughCleanRate } from './clean-rate.ts'

const SECONDS = 6
const PAIRS = 10
/** Fills what the system keeps for a sibling in a second. */
const TO_SIBLING_PER_SECOND = 5_000
/** In a round: p99 of one is of forty packets. */
const STALLS = 2
/** A relay that was started a moment ago is not meshed yet; derper tries again after 5 s. */
const MESHED_TRIES_MAX = 20

interface HopRound {
  readonly across: FlowOutcome
  readonly local: FlowOutcome
}

async function startCouples(bench: Bench, stops: (() => Promise<void>)[]): Promise<Couple[]> {
  const couples: Couple[] = []
  for (const { name, isOwn } of bench.servers) {
    if (!isOwn || (name !== OURS && name !== RIVAL)) continue
    const [near, far] = await startMesh(bench, name, 2)
    if (near === undefined || far === undefined) continue
    stops.push(
      () => near.stop(),
      () => far.stop(),
    )
    const couple = new Couple(near, far)
    await untilMeshed(bench, couple)
    couples.push(couple)
  }
  return couples
}

async function untilMeshed(bench: Bench, couple: Couple): Promise<void> {
  for (let tries = 0; tries < MESHED_TRIES_MAX; tries++) {
    const load = bench.load(1_000, PAIRS, { seconds: 1, warmSeconds: 0.5 })
    if (lossOf(await bench.flow(couple, load)) === 0) return
  }
  throw new Error(`${couple.name}: packets do not cross from one relay to the other`)
}

async function costRows(
  bench: Bench,
  couples: readonly Couple[],
  label: string,
  rate: number,
): Promise<Row[]> {
  bench.progress.step(label)
  const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
  const load = bench.load(rate, PAIRS, { seconds })
  const measured = await bench.interleaved(couples, async (couple): Promise<HopRound> => {
    return { across: await bench.flow(couple, load), local: await bench.flow(couple.near, load) }
  })
  const added = (percentile: number) => (round: HopRound) =>
    delayMs(round.across.delays, percentile) - delayMs(round.local.delays, percentile)
  const row = (what: string, unit: string, digits: number, of: (round: HopRound) => number): Row =>
    rowOf({ label: what, unit, digits }, measured, of)
  const cpu = row(`${label}: both relays`, 'µs/frame', 2, ({ across }) => cpuUsPerFrame(across))
  const p99 = row('– p99 that the hop adds', 'ms', 3, added(0.99))
  return [
    withBounds(cpu, { than: RIVAL, atMost: 0.6 }),
    row('– one relay, the same load', 'µs/frame', 2, ({ local }) => cpuUsPerFrame(local)),
    row('– lost', '%', 2, ({ across }) => 100 * lossOf(across)),
    row('– p50 that the hop adds', 'ms', 3, added(0.5)),
    withBounds(p99, { than: RIVAL, atMost: 1 }),
    row('– p99 across', 'ms', 3, ({ across }) => delayMs(across.delays, 0.99)),
  ]
}

/** A probe between clients of one relay beside pairs of its own, while others send to a sibling of it. */
async function probeBeside(
  bench: Bench,
  couple: Couple,
  rate: number,
  isStalled: boolean,
): Promise<FlowOutcome[]> {
  // Shorter than it takes a relay to give up a sibling that takes nothing.
  const times = { seconds: 4, warmSeconds: 1 }
  const flood = bench.flow(couple, bench.load(TO_SIBLING_PER_SECOND, PAIRS, { ...times, seconds: 6 }))
  // Its clients have to be in before the sibling is halted.
  await sleep(1_500)
  if (isStalled) couple.far.signal('SIGSTOP')
  try {
    const local = [bench.load(rate, PAIRS, times), probeLoad(times.seconds, times.warmSeconds)]
    return (await bench.flows(couple.near, local)).slice(1)
  } finally {
    couple.far.signal('SIGCONT')
    await flood
  }
}

async function stallRows(bench: Bench, couples: readonly Couple[], rate: number): Promise<Row[]> {
  bench.progress.step('a sibling that stalls')
  const measured = await bench.interleaved(couples, async (couple) => {
    const [healthy, stalled]: [FlowOutcome[], FlowOutcome[]] = [[], []]
    for (let stalls = 0; stalls < (bench.effort.isQuick ? 1 : STALLS); stalls++) {
      healthy.push(...(await probeBeside(bench, couple, rate, false)))
      stalled.push(...(await probeBeside(bench, couple, rate, true)))
      await untilMeshed(bench, couple)
    }
    const p99 = (probes: readonly FlowOutcome[]): number => delayMs(mergeFlows(probes).delays, 0.99)
    return { healthy: p99(healthy), stalled: p99(stalled) }
  })
  const ratio = rowOf(
    { label: '– by p99 with a sibling that takes them', unit: '×', digits: 2 },
    measured,
    ({ healthy, stalled }) => stalled / healthy,
  )
  return [
    rowOf(
      { label: 'p99 of a local probe beside a stalled sibling', unit: 'ms', digits: 3 },
      measured,
      ({ stalled }) => stalled,
    ),
    withOwnTarget(ratio, '≤ 1.2 ×', (median) => median <= 1.2),
  ]
}

export const forwarding: Figure = {
  name: 'forwarding',
  title: 'Packets across a link between relays',
  async measure(bench) {
    const stops: (() => Promise<void>)[] = []
    try {
      const couples = await startCouples(bench, stops)
      const rival = couples.find(({ name }) => name === bench.reference.name) ?? couples[0]
      if (rival === undefined) return { rows: [], notes: ['No server here can be meshed with another.'] }
      const clean = await roughCleanRate(bench, rival, PAIRS)
      const rows = [
        ...(await costRows(bench, couples, `two ${rival.name}'s clean rate (${clean}/s)`, clean)),
        ...(await costRows(bench, couples, `half of it (${Math.round(clean / 2)}/s)`, clean / 2)),
        ...(await stallRows(bench, couples, clean / 2)),
      ]
      return {
        rows,
        notes: [
          `${PAIRS} pairs, 1420-byte packets, senders on one relay and receivers on the other; both relays run on the servers' processor. What the hop adds is the delay across less the delay of the same load on one of the two relays. The stalled sibling is halted while ${TO_SIBLING_PER_SECOND} packets a second are sent to its clients; the probe is of 64-byte packets, 1,000 a second, between clients of the other relay, whose own pairs send half of the clean rate meanwhile; ${STALLS} times a round.`,
        ],
      }
    } finally {
      for (const stop of stops) await stop()
    }
  },
}
