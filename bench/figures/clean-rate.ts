// The clean rate: the highest offered rate of which less than 1 % is lost. Searched on a scale whose steps are 5 %,
// for each server from where a quick climb ends; a step counts by the median of all its rounds.

import type { Bench } from '../bench.ts'
import type { Figure, Row, Series } from '../figure.ts'
import { carriedOf, cpuUsPerFrame, lossOf } from '../load/load.ts'
import type { FlowOutcome } from '../load/outcome.ts'
import { delayMs } from '../load/delays.ts'
import { withBounds } from '../row.ts'
import { sampleOf, type Sample } from '../sample.ts'
import { ELDER, RIVAL, type Server, type Target } from '../server.ts'

const PAIRS = [10, 100, 1_000]
const STEP = 1.05
const LOSS_MAX = 0.01
/**
 * A backlog that grows in socket buffers is no loss yet, but no clean rate either: of a window of 4 s, this leaves
 * 0.12 s for delays that merely vary.
 */
const CARRIED_MIN = 0.97
/** The scale begins with it, packets per second: every server on every machine so far has carried it. */
const FIRST_RATE = 10_000
/** Where the climb begins: about 40,000. */
const CLIMB_FROM = 28
/** And how it goes on at first: doubling. */
const CLIMB_STEPS = 14
/** No machine of two processors comes near it; a climb beyond it has lost its way. */
const RATE_MAX = 2_000_000

/** Both conditions of a clean round. */
function excess(flow: FlowOutcome): number {
  return Math.max(lossOf(flow), 1 - carriedOf(flow) - (1 - CARRIED_MIN) + LOSS_MAX)
}

function rateAt(step: number): number {
  return Math.round((FIRST_RATE * STEP ** step) / 10) * 10
}

/** One server's search: which step is next, and what is known of those behind. */
class Search {
  readonly server: Server
  readonly tried = new Map<number, FlowOutcome[]>()
  #clean = -1
  #dirty = Number.POSITIVE_INFINITY
  #next: number

  constructor(server: Server, from: number) {
    this.server = server
    this.#next = from
  }

  get isOver(): boolean {
    return this.#clean >= 0 ? this.#dirty === this.#clean + 1 : this.#next < 0
  }

  get next(): number {
    return this.#next
  }

  /** The highest clean step; -1 when not even the first is. */
  get clean(): number {
    return this.#clean
  }

  /** Without a further look: for runs that are for trying. */
  accept(flows: FlowOutcome[]): void {
    this.tried.set(this.#next, flows)
    this.#clean = this.#next
    this.#dirty = this.#next + 1
  }

  settle(flows: FlowOutcome[]): void {
    this.tried.set(this.#next, flows)
    if (sampleOf(flows.map(excess)).median < LOSS_MAX) this.#clean = Math.max(this.#clean, this.#next)
    else this.#dirty = Math.min(this.#dirty, this.#next)
    this.#next = this.#clean >= this.#dirty - 1 ? this.#clean : this.#towardsUnknown()
  }

  #towardsUnknown(): number {
    if (this.#dirty === Number.POSITIVE_INFINITY) return this.#clean + 1
    return this.#clean < 0 ? this.#next - 1 : this.#clean + 1
  }
}

/** The step at which a single look at each rate finds the first loss, less one. */
async function climb(bench: Bench, server: Target, pairs: number): Promise<number> {
  const isClean = async (step: number): Promise<boolean> => {
    // A second look where the first one finds loss: a moment's hiccup would end the climb far too low.
    for (let look = 0; look < 2; look++) {
      bench.progress.step(`${pairs} pairs, ${server.name}: a look at ${rateAt(step)}/s`)
      if (excess(await bench.flow(server, bench.load(rateAt(step), pairs))) < LOSS_MAX) return true
    }
    return false
  }
  let low = 0
  let high = CLIMB_FROM
  // Two steps must show loss before it is believed: a machine may be held up for longer than two looks at one.
  for (let step = high; step <= high + CLIMB_STEPS && rateAt(step) < RATE_MAX; step += CLIMB_STEPS) {
    if (!(await isClean(step))) continue
    low = step
    high = step + CLIMB_STEPS
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (await isClean(middle)) low = middle
    else high = middle
  }
  return low
}

async function searchAll(bench: Bench, pairs: number): Promise<Search[]> {
  const searches: Search[] = []
  for (const server of bench.servers) searches.push(new Search(server, await climb(bench, server, pairs)))
  for (;;) {
    const open = searches.filter(({ isOver }) => !isOver)
    if (open.length === 0) return searches
    const flows = await bench.interleaved(
      open.map(({ server }) => server),
      (server) => {
        const search = open.find((each) => each.server === server)
        return bench.flow(server, bench.load(rateAt(search?.next ?? 0), pairs))
      },
    )
    for (const search of open) {
      const rounds = flows.get(search.server) ?? []
      if (bench.effort.isQuick) search.accept(rounds)
      else search.settle(rounds)
    }
  }
}

function rowsOf(searches: readonly Search[], pairs: number): Row[] {
  const samples: Record<'rate' | 'loss' | 'p99' | 'cpu', Record<string, Sample>> = {
    rate: {},
    loss: {},
    p99: {},
    cpu: {},
  }
  for (const { server, clean, tried } of searches) {
    const flows = tried.get(clean) ?? []
    samples.rate[server.name] = sampleOf([clean < 0 ? Number.NaN : rateAt(clean)])
    samples.loss[server.name] = sampleOf(flows.map((flow) => 100 * lossOf(flow)))
    samples.p99[server.name] = sampleOf(flows.map((flow) => delayMs(flow.delays, 0.99)))
    samples.cpu[server.name] = sampleOf(flows.map(cpuUsPerFrame))
  }
  const rate: Row = {
    label: `clean rate, ${pairs} pairs`,
    unit: 'packets/s',
    digits: 0,
    samples: samples.rate,
  }
  const atLeast = pairs === 10 ? 2 : 1.7
  return [
    withBounds(rate, { than: RIVAL, atLeast }),
    { label: '– loss there', unit: '%', digits: 2, samples: samples.loss },
    { label: '– p99 there', unit: 'ms', digits: 1, samples: samples.p99 },
    { label: '– CPU per frame there', unit: 'µs', digits: 2, samples: samples.cpu },
  ]
}

/** Loss against rate, of every step that was tried in full. */
function seriesOf(searches: readonly Search[], pairs: number): Series {
  const points: Record<string, [number, number][]> = {}
  for (const { server, tried } of searches) {
    const steps = [...tried].sort(([a], [b]) => a - b)
    points[server.name] = steps.map(([step, flows]) => [
      rateAt(step),
      100 * sampleOf(flows.map(lossOf)).median,
    ])
  }
  return { name: `loss-${pairs}-pairs`, points }
}

/** Where the clean rate of a server is kept for other figures. */
export function cleanRateFact(server: string, pairs: number): string {
  return `clean rate, ${server}, ${pairs} pairs`
}

/** A server's clean rate with 10 pairs as found before in this run, or else found now, in one quick climb. */
export async function knownCleanRate(bench: Bench, server: Server): Promise<number> {
  const name = cleanRateFact(server.name, 10)
  return (bench.facts[name] ??= await roughCleanRate(bench, server, 10))
}

/** A clean rate by one quick climb. */
export async function roughCleanRate(bench: Bench, target: Target, pairs: number): Promise<number> {
  return rateAt(await climb(bench, target, pairs))
}

export const cleanRate: Figure = {
  name: 'clean-rate',
  title: 'Clean rate: highest offered rate with less than 1 % loss',
  async measure(bench) {
    const rows: Row[] = []
    const series: Series[] = []
    for (const pairs of bench.effort.isQuick ? PAIRS.slice(0, 1) : PAIRS) {
      const searches = await searchAll(bench, pairs)
      rows.push(...rowsOf(searches, pairs))
      series.push(seriesOf(searches, pairs))
      for (const { server, clean } of searches) {
        if (clean >= 0) bench.facts[cleanRateFact(server.name, pairs)] = rateAt(clean)
      }
    }
    return {
      rows,
      series,
      notes: [
        `1420-byte packets, one to a TLS record, by a schedule; steps of 5 %, each counted by the median of its ${bench.effort.rounds} rounds. Lost is what was due in the window and had not come 0.2 s after it, packets that a full socket did not take included; and of the offered rate at least ${100 * CARRIED_MIN} % must arrive during the window, so that no growing backlog passes for a clean rate.`,
        `The rate itself is one number per server; its rounds are in the loss below it. ${ELDER} is what most people still run.`,
      ],
    }
  },
}
