// Goodput under overload: at as much as the generator can send, and along a scale of offered rates, on which each
// server has its peak.

import { gigabitsPerSecond, lossOf } from '../load/load.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row, Series } from '../figure.ts'
import { rowOf, withBounds, withOwnTarget } from '../row.ts'
import { sampleOf, type Sample } from '../sample.ts'
import { OLD_DERPER, DERPER } from '../server.ts'
import { crossCheck } from './cross-check.ts'

/** Packets per second, from well below the lowest limit of the servers to well above the highest. */
const SCALE = [20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400].map((thousands) => thousands * 1_000)
/**
 * Records in one write where all is sent that can be: with a schedule, all that are due leave in one write, too. With a write for
 * each, there are processors on which the generator sends less than the relay can carry.
 */
const PER_WRITE = 16
/** The scale has no target, so it needs fewer rounds. */
const SCALE_ROUNDS_MAX = 3

async function atAll(bench: Bench, pairs: number): Promise<Row[]> {
  bench.progress.step(`${pairs} pairs, all that can be sent`)
  const measured = await bench.interleaved(bench.servers, (server) =>
    bench.runLoad(server, bench.load('all', pairs, { perWrite: PER_WRITE })),
  )
  const label = `goodput, ${pairs} pairs, all that can be sent`
  const goodput = rowOf({ label, unit: 'Gbit/s', digits: 3 }, measured, gigabitsPerSecond)
  const bounds =
    pairs === 10
      ? [
          { server: DERPER, atLeast: 2 },
          { server: OLD_DERPER, atLeast: 20 },
        ]
      : [{ server: DERPER, atLeast: 1.6 }]
  return [
    withBounds(goodput, ...bounds),
    rowOf(
      { label: '– offered', unit: 'packets/s', digits: 0 },
      measured,
      (outcome) => outcome.sent / outcome.seconds,
    ),
    rowOf({ label: '– lost', unit: '%', digits: 1 }, measured, (outcome) => 100 * lossOf(outcome)),
    // With less than all of its processor, the generator was the limit and not the server.
    rowOf(
      { label: '– processor time of the server', unit: '%', digits: 0 },
      measured,
      ({ serverCpuSeconds, seconds }) => (100 * serverCpuSeconds) / seconds,
    ),
  ]
}

async function alongScale(bench: Bench): Promise<Series> {
  const points: Record<string, [number, number][]> = {}
  const rounds = Math.min(bench.effort.rounds, SCALE_ROUNDS_MAX)
  for (const rate of bench.effort.isQuick ? SCALE.filter((_, i) => i % 3 === 1) : SCALE) {
    bench.progress.step(`10 pairs at ${rate}/s`)
    const measured = await bench.interleaved(
      bench.servers,
      (server) => bench.runLoad(server, bench.load(rate)),
      rounds,
    )
    for (const [server, outcomes] of measured) {
      const median = sampleOf(outcomes.map(gigabitsPerSecond)).median
      ;(points[server.name] ??= []).push([(rate * 1_420 * 8) / 1e9, median])
    }
  }
  return { name: 'goodput', points }
}

/** The scale with the goodput at all that can be sent as its last point. */
function withAll(scale: Series, [goodput, offered]: readonly Row[]): Series {
  const points = Object.entries(scale.points).map(
    ([name, some]): [string, readonly (readonly [number, number])[]] => {
      const x = ((offered?.samples[name]?.median ?? Number.NaN) * 1_420 * 8) / 1e9
      const all = [...some, [x, goodput?.samples[name]?.median ?? Number.NaN] as const]
      return [name, all.filter(([at]) => Number.isFinite(at)).sort(([a], [b]) => a - b)]
    },
  )
  return { ...scale, points: Object.fromEntries(points) }
}

/** Each server's peak at any rate, and its goodput at all that can be sent as a share of that peak. */
function peakRows(all: Row, scale: Series): Row[] {
  const peaks: Record<string, Sample> = {}
  const shares: Record<string, Sample> = {}
  for (const [name, sample] of Object.entries(all.samples)) {
    const best = Math.max(sample.median, ...(scale.points[name] ?? []).map(([, goodput]) => goodput))
    peaks[name] = sampleOf([best])
    shares[name] = sampleOf(sample.rounds.map((goodput) => (100 * goodput) / best))
  }
  const share: Row = {
    label: '– goodput at all that can be sent / that peak',
    unit: '%',
    digits: 0,
    samples: shares,
  }
  return [
    { label: 'peak goodput, 10 pairs, at any offered rate', unit: 'Gbit/s', digits: 3, samples: peaks },
    withOwnTarget(share, '≥ 90 %', (median) => median >= 90),
  ]
}

export const goodput: Figure = {
  name: 'goodput',
  title: 'Goodput under overload',
  async measure(bench) {
    const ten = await atAll(bench, 10)
    const hundred = await atAll(bench, 100)
    const scale = await alongScale(bench)
    const shape = withAll(scale, ten)
    const peak = ten[0] === undefined ? [] : peakRows(ten[0], scale)
    return {
      rows: [...ten, ...peak, ...hundred, ...(await crossCheck(bench))],
      series: [shape],
      notes: [
        'Goodput is packet bytes that arrived during the window, in one direction. "All that can be sent" is one packet per record, up to 16 records per write, a bounded number per sender in turn. The generator reads all that it can read before it sends more, so the server causes all loss.',
        'A server that reads everything and drops most of it is offered more than a server that reads less. How far its goodput falls depends on how much the generator can offer; its peak does not.',
      ],
    }
  },
}
