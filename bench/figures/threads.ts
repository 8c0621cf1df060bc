// What a second relay thread costs: CPU time per delivered frame of a relay with two threads, by that of one with one,
// and whether every pair's packets still come in order. Both may use all processors here.

import type { Figure } from '../figure.ts'
import { cpuUsPerFrame, lossOf } from '../load/load.ts'
import { wrongFrames, type FlowOutcome } from '../load/outcome.ts'
import { withOwnTarget } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { OURS } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

/** Shorter windows are made of too few ticks. */
const SECONDS = 6

export const threads: Figure = {
  name: 'threads',
  title: 'Two relay threads by one',
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${OURS} was not measured.`] }
    const rate = (await knownCleanRate(bench, bench.reference)) / 2
    const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
    const cpus = bench.places.both
    const { ofOne, ofTwo } = await bench.withFresh(OURS, { cpus, threads: 1 }, (one) =>
      bench.withFresh(OURS, { cpus, threads: 2 }, async (two) => {
        for (const server of [one, two]) await bench.flow(server, bench.load(rate))
        const load = bench.load(rate, 10, { seconds })
        const measured = await bench.interleaved([one, two], (server) => bench.flow(server, load))
        return { ofOne: measured.get(one) ?? [], ofTwo: measured.get(two) ?? [] }
      }),
    )
    const own = (of: (flow: FlowOutcome, round: number) => number) => ({ [OURS]: sampleOf(ofTwo.map(of)) })
    const shown = { unit: 'µs/frame', digits: 2 }
    const ratio = {
      label: 'two threads by one',
      unit: '×',
      digits: 2,
      samples: own((flow, round) => {
        const alone = ofOne[round]
        return alone === undefined ? Number.NaN : cpuUsPerFrame(flow) / cpuUsPerFrame(alone)
      }),
    }
    const wrong = { label: 'frames out of order or wrong', unit: '', digits: 0, samples: own(wrongFrames) }
    return {
      rows: [
        { label: 'one thread', ...shown, samples: { [OURS]: sampleOf(ofOne.map(cpuUsPerFrame)) } },
        { label: 'two threads', ...shown, samples: own(cpuUsPerFrame) },
        withOwnTarget(ratio, '≤ 1.35 ×', (median) => median <= 1.35),
        withOwnTarget(wrong, '0', (median) => median === 0),
        { label: 'lost with two threads', unit: '%', digits: 3, samples: own((flow) => 100 * lossOf(flow)) },
      ],
      notes: [
        `10 pairs at ${Math.round(rate)}/s; both relays may run on processors ${cpus}, one of which the generator is on.`,
      ],
    }
  },
}
