// The cost of a second relay thread: CPU time per delivered frame of a relay with two threads divided by that of a
// relay with one thread, and whether the packets of each pair stay in order. Both relays may use all processors.

import type { Figure } from '../figure.ts'
import { cpuUsPerFrame, lossOf } from '../load/load.ts'
import { wrongFrames, type LoadOutcome } from '../load/outcome.ts'
import { withOwnTarget } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { DERPFLEET } from '../server.ts'
import { knownCleanRate } from './clean-rate.ts'

/** A shorter window has too few ticks of CPU time. */
const SECONDS = 6

export const threads: Figure = {
  name: 'threads',
  title: 'Two relay threads compared with one',
  async measure(bench) {
    if (bench.ours === undefined) return { rows: [], notes: [`${DERPFLEET} was not measured.`] }
    const rate = (await knownCleanRate(bench, bench.reference)) / 2
    const seconds = bench.effort.isQuick ? bench.effort.seconds : SECONDS
    const cpus = bench.cpuSets.both
    const { ofOne, ofTwo } = await bench.withFresh(DERPFLEET, { cpus, threads: 1 }, (one) =>
      bench.withFresh(DERPFLEET, { cpus, threads: 2 }, async (two) => {
        for (const server of [one, two]) await bench.runLoad(server, bench.load(rate))
        const load = bench.load(rate, 10, { seconds })
        const measured = await bench.interleaved([one, two], (server) => bench.runLoad(server, load))
        return { ofOne: measured.get(one) ?? [], ofTwo: measured.get(two) ?? [] }
      }),
    )
    const own = (of: (outcome: LoadOutcome, round: number) => number) => ({
      [DERPFLEET]: sampleOf(ofTwo.map(of)),
    })
    const shown = { unit: 'µs/frame', digits: 2 }
    const ratio = {
      label: 'two threads / one thread',
      unit: '×',
      digits: 2,
      samples: own((outcome, round) => {
        const alone = ofOne[round]
        return alone === undefined ? Number.NaN : cpuUsPerFrame(outcome) / cpuUsPerFrame(alone)
      }),
    }
    const wrong = { label: 'frames out of order or wrong', unit: '', digits: 0, samples: own(wrongFrames) }
    return {
      rows: [
        { label: 'one thread', ...shown, samples: { [DERPFLEET]: sampleOf(ofOne.map(cpuUsPerFrame)) } },
        { label: 'two threads', ...shown, samples: own(cpuUsPerFrame) },
        withOwnTarget(ratio, '≤ 1.2 ×', (median) => median <= 1.2),
        withOwnTarget(wrong, '0', (median) => median === 0),
        {
          label: 'lost with two threads',
          unit: '%',
          digits: 3,
          samples: own((outcome) => 100 * lossOf(outcome)),
        },
      ],
      notes: [
        `10 pairs at ${Math.round(rate)}/s; both relays may run on processors ${cpus}; the generator uses one of them, too.`,
      ],
    }
  },
}
