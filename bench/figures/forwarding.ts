// The cost of a packet that crosses a link between two relays of a mesh, compared with two derpers: CPU time of both
// relays together, and the delay that the second relay adds. Also the effect of a stalled sibling on a relay's own
// clients while other clients send to it.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { delayMs } from '../load/delays.ts'
import { mergeLoadOutcomes, type LoadOutcome } from '../load/outcome.ts'
import { cpuUsPerFrame, lossOf, probeLoad } from '../load/load.ts'
import { TwoRelays, startMesh } from '../mesh.ts'
import { rowOf, withBounds, withOwnTarget } from '../row.ts'
import { DERPFLEET, DERPER } from '../server.ts'
import { roughCleanRate } from './clean-rate.ts'

const SECONDS = 6
const PAIRS = 10
/** Packets per second to the sibling: they fill the socket buffers of its link within a second. */
const TO_SIBLING_PER_SECOND = 5_000
/** Stalls in a round: the p99 of one stall is that of its forty slowest packets. */
const STALLS = 2
/** A relay that has just started has no link yet; derper dials again after 5 s. */
const MESHED_TRIES_MAX = 20

interface HopRound {
  readonly across: LoadOutcome
  readonly local: LoadOutcome
}

async function startMeshes(bench: Bench, stops: (() => Promise<void>)[]): Promise<TwoRelays[]> {
  const meshes: TwoRelays[] = []
  for (const { name, isOwn } of bench.servers) {
    if (!isOwn || (name !== DERPFLEET && name !== DERPER)) continue
    const [near, far] = await startMesh(bench, name, 2)
    if (near === undefined || far === undefined) continue
    stops.push(
      () => near.stop(),
      () => far.stop(),
    )
    const mesh = new TwoRelays(near, far)
    await untilMeshed(bench, mesh)
    meshes.push(mesh)
  }
  return meshes
}

async function untilMeshed(bench: Bench, mesh: TwoRelays): Promise<void> {
  for (let tries = 0; tries < MESHED_TRIES_MAX; tries++) {
    const load = bench.load(1_000, PAIRS, { seconds: 1, warmSeconds: 0.5 })
    if (lossOf(await bench.runLoad(mesh, load)) === 0) return
  }
  throw new Error(`${mesh.name}: no packets arrive at the other relay`)
}

async function costRows(
  bench: Bench,
  meshes: readonly TwoRelays[],
  label: string,
  rate: number,
): Promise<Row[]> {
  bench.progress.step(label)
  const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
  const load = bench.load(rate, PAIRS, { seconds })
  const measured = await bench.interleaved(meshes, async (mesh): Promise<HopRound> => {
    return { across: await bench.runLoad(mesh, load), local: await bench.runLoad(mesh.near, load) }
  })
  const added = (percentile: number) => (round: HopRound) =>
    delayMs(round.across.delays, percentile) - delayMs(round.local.delays, percentile)
  const row = (what: string, unit: string, digits: number, of: (round: HopRound) => number): Row =>
    rowOf({ label: what, unit, digits }, measured, of)
  const cpu = row(`${label}: both relays`, 'µs/frame', 2, ({ across }) => cpuUsPerFrame(across))
  const p50 = row('– p50 across', 'ms', 3, ({ across }) => delayMs(across.delays, 0.5))
  const p99 = row('– p99 that the hop adds', 'ms', 3, added(0.99))
  return [
    withBounds(cpu, { server: DERPER, atMost: 0.45 }),
    row('– one relay, the same load', 'µs/frame', 2, ({ local }) => cpuUsPerFrame(local)),
    row('– lost', '%', 2, ({ across }) => 100 * lossOf(across)),
    row('– p50 that the hop adds', 'ms', 3, added(0.5)),
    withBounds(p99, { server: DERPER, atMost: 1 }),
    withBounds(p50, { server: DERPER, atMost: 2 }),
    row('– p99 across', 'ms', 3, ({ across }) => delayMs(across.delays, 0.99)),
  ]
}

/** A probe between clients of one relay, beside pairs at the same relay, while other clients send to its sibling. */
async function probeBeside(
  bench: Bench,
  mesh: TwoRelays,
  rate: number,
  isStalled: boolean,
): Promise<LoadOutcome[]> {
  // Shorter than the time after which a relay closes the link to a sibling that reads nothing.
  const times = { seconds: 4, warmSeconds: 1 }
  const flood = bench.runLoad(mesh, bench.load(TO_SIBLING_PER_SECOND, PAIRS, { ...times, seconds: 6 }))
  // The clients of this load log in before the sibling is stopped.
  await sleep(1_500)
  if (isStalled) mesh.far.signal('SIGSTOP')
  try {
    const local = [bench.load(rate, PAIRS, times), probeLoad(times.seconds, times.warmSeconds)]
    return (await bench.runLoads(mesh.near, local)).slice(1)
  } finally {
    mesh.far.signal('SIGCONT')
    await flood
  }
}

async function stallRows(bench: Bench, meshes: readonly TwoRelays[], rate: number): Promise<Row[]> {
  bench.progress.step('stalled sibling')
  const measured = await bench.interleaved(meshes, async (mesh) => {
    const [healthy, stalled]: [LoadOutcome[], LoadOutcome[]] = [[], []]
    for (let stalls = 0; stalls < (bench.effort.isQuick ? 1 : STALLS); stalls++) {
      healthy.push(...(await probeBeside(bench, mesh, rate, false)))
      stalled.push(...(await probeBeside(bench, mesh, rate, true)))
      await untilMeshed(bench, mesh)
    }
    const p99 = (probes: readonly LoadOutcome[]): number => delayMs(mergeLoadOutcomes(probes).delays, 0.99)
    return { healthy: p99(healthy), stalled: p99(stalled) }
  })
  const ratio = rowOf(
    { label: '– / p99 beside a healthy sibling', unit: '×', digits: 2 },
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
      const meshes = await startMeshes(bench, stops)
      const rival = meshes.find(({ name }) => name === bench.reference.name) ?? meshes[0]
      if (rival === undefined) return { rows: [], notes: ['None of the servers can be started as a mesh.'] }
      const clean = await roughCleanRate(bench, rival, PAIRS)
      const rows = [
        ...(await costRows(bench, meshes, `two ${rival.name}'s clean rate (${clean}/s)`, clean)),
        ...(await costRows(bench, meshes, `half of it (${Math.round(clean / 2)}/s)`, clean / 2)),
        ...(await stallRows(bench, meshes, clean / 2)),
      ]
      return {
        rows,
        notes: [
          `${PAIRS} pairs, 1420-byte packets, senders at one relay and receivers at the other; both relays run on the servers' processor. The delay that the hop adds is the delay across both relays minus the delay of the same load at one of them. The stalled sibling is stopped (SIGSTOP) while ${TO_SIBLING_PER_SECOND} packets per second are sent to its clients. The probe is 64-byte packets, 1,000 per second, between clients of the other relay, whose own pairs send half of the clean rate at the same time; ${STALLS} times per round.`,
        ],
      }
    } finally {
      for (const stop of stops) await stop()
    }
  },
}
