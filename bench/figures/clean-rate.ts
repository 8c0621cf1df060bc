// The clean rate: the highest offered rate with less than 1 % loss. The search goes in steps of 5 %. For each server a
// rough search finds the starting step; from there a step counts as clean by the median of all its rounds.

import type { Bench } from '../bench.ts'
import type { Figure, Row, Series } from '../figure.ts'
import { carriedOf, cpuUsPerFrame, lossOf, type Load } from '../load/load.ts'
import type { LoadOutcome } from '../load/outcome.ts'
import { delayMs } from '../load/delays.ts'
import { withBounds } from '../row.ts'
import { sampleOf, type Sample } from '../sample.ts'
import { OLD_DERPER, DERPER, type Server, type LoadTarget } from '../server.ts'

const PAIRS = [10, 100, 1_000]
/** Targets by the number of pairs: with many, less of what a packet touches is in the processor's caches. */
const AT_LEAST: Readonly<Record<number, number>> = { 10: 2.3, 100: 1.8, 1_000: 1.7 }
const STEP = 1.05
const LOSS_MAX = 0.01
/**
 * The smallest share of the offered rate that has to arrive during the window: a backlog that grows in socket buffers is
 * not lost yet, but the rate is not clean. In a window of 4 s this leaves 0.12 s for delays that merely vary.
 */
const CARRIED_MIN = 0.97
/** The rate of step 0 in packets per second: so far every server on every machine has carried it. */
const FIRST_RATE = 10_000
/** The first step of the rough search: about 40,000 packets per second. */
const ROUGH_FROM = 28
/** Steps that double the rate. */
const DOUBLING_STEPS = 14
/** Limit of the rough search. No machine with two processors comes near it. */
const RATE_MAX = 2_000_000

/** Below LOSS_MAX if the round is clean: combines the limits of loss and of the rate that arrived. */
function excess(outcome: LoadOutcome): number {
  return Math.max(lossOf(outcome), 1 - carriedOf(outcome) - (1 - CARRIED_MIN) + LOSS_MAX)
}

function rateAt(step: number): number {
  return Math.round((FIRST_RATE * STEP ** step) / 10) * 10
}

/** The search for one server: the next step, and the results of the steps before. */
class Search {
  readonly server: Server
  readonly tried = new Map<number, LoadOutcome[]>()
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

  /** The highest clean step; -1 if there is none. */
  get clean(): number {
    return this.#clean
  }

  /** Ends the search at this step, clean or not: for quick runs. */
  end(outcomes: LoadOutcome[]): void {
    this.tried.set(this.#next, outcomes)
    this.#clean = this.#next
    this.#dirty = this.#next + 1
  }

  /** Records the rounds of the next step and chooses the one after it. */
  record(outcomes: LoadOutcome[]): void {
    this.tried.set(this.#next, outcomes)
    if (sampleOf(outcomes.map(excess)).median < LOSS_MAX) this.#clean = Math.max(this.#clean, this.#next)
    else this.#dirty = Math.min(this.#dirty, this.#next)
    this.#next = this.#clean >= this.#dirty - 1 ? this.#clean : this.#towardsUnknown()
  }

  #towardsUnknown(): number {
    if (this.#dirty === Number.POSITIVE_INFINITY) return this.#clean + 1
    return this.#clean < 0 ? this.#next - 1 : this.#clean + 1
  }
}

/** Of what the clean rate is searched. */
interface Trial {
  readonly bench: Bench
  readonly server: LoadTarget
  readonly pairs: number
  /** What is unusual about the load. */
  readonly more: Partial<Load>
}

/** Is a step clean? It is tried twice: a short disturbance would end a search at a step that is far too low. */
async function isStepClean(trial: Trial, step: number): Promise<boolean> {
  for (let attempt = 0; attempt < 2; attempt++) if (await isClean(trial, step)) return true
  return false
}

/** Is a step clean in two of three loads? A processor of a virtual machine has fast seconds as well as slow ones. */
async function isMostlyClean(trial: Trial, step: number): Promise<boolean> {
  const first = await isClean(trial, step)
  const second = await isClean(trial, step)
  return first === second ? first : await isClean(trial, step)
}

async function isClean(trial: Trial, step: number): Promise<boolean> {
  const { bench, server, pairs, more } = trial
  bench.progress.step(`${pairs} pairs, ${server.name}: rough search at ${rateAt(step)}/s`)
  return excess(await bench.runLoad(server, bench.load(rateAt(step), pairs, more))) < LOSS_MAX
}

/** The last clean step by a rough search: one load per step, doubling first, then by bisection. */
async function roughCleanStep(
  bench: Bench,
  server: LoadTarget,
  pairs: number,
  more: Partial<Load> = {},
): Promise<number> {
  const trial = { bench, server, pairs, more }
  let low = 0
  let high = ROUGH_FROM
  // The doubling ends after two steps with loss: a disturbance may last for longer than two loads of one step.
  for (let step = high; step <= high + DOUBLING_STEPS && rateAt(step) < RATE_MAX; step += DOUBLING_STEPS) {
    if (!(await isStepClean(trial, step))) continue
    low = step
    high = step + DOUBLING_STEPS
  }
  return await lastClean(low, high, async (step) => await isStepClean(trial, step))
}

/** A clean rate by a rough search that begins at a rate near it, in steps that double until it is between two of them. */
export async function cleanRateNear(trial: Trial, rate: number): Promise<number> {
  const from = Math.max(0, Math.round(Math.log(rate / FIRST_RATE) / Math.log(STEP)))
  const isUp = await isMostlyClean(trial, from)
  let [low, high] = isUp ? [from, Number.POSITIVE_INFINITY] : [0, from]
  for (let stride = 1; isUp ? high === Number.POSITIVE_INFINITY : low === 0; stride *= 2) {
    const step = isUp ? from + stride : Math.max(0, from - stride)
    const isHigh = rateAt(step) > RATE_MAX
    if (step === 0 || (!isHigh && (await isMostlyClean(trial, step)))) low = step
    else high = step
    if (step === 0) break
  }
  return rateAt(await lastClean(low, high, async (step) => await isMostlyClean(trial, step)))
}

/** The last clean step by bisection: `low` is clean and `high` is not. */
async function lastClean(
  low: number,
  high: number,
  isCleanAt: (step: number) => Promise<boolean>,
): Promise<number> {
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (await isCleanAt(middle)) low = middle
    else high = middle
  }
  return low
}

async function searchAll(bench: Bench, pairs: number): Promise<Search[]> {
  const searches: Search[] = []
  for (const server of bench.servers)
    searches.push(new Search(server, await roughCleanStep(bench, server, pairs)))
  for (;;) {
    const open = searches.filter(({ isOver }) => !isOver)
    if (open.length === 0) return searches
    const outcomes = await bench.interleaved(
      open.map(({ server }) => server),
      (server) => {
        const search = open.find((each) => each.server === server)
        return bench.runLoad(server, bench.load(rateAt(search?.next ?? 0), pairs))
      },
    )
    for (const search of open) {
      const rounds = outcomes.get(search.server) ?? []
      if (bench.effort.isQuick) search.end(rounds)
      else search.record(rounds)
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
    const outcomes = tried.get(clean) ?? []
    samples.rate[server.name] = sampleOf([clean < 0 ? Number.NaN : rateAt(clean)])
    samples.loss[server.name] = sampleOf(outcomes.map((outcome) => 100 * lossOf(outcome)))
    samples.p99[server.name] = sampleOf(outcomes.map((outcome) => delayMs(outcome.delays, 0.99)))
    samples.cpu[server.name] = sampleOf(outcomes.map(cpuUsPerFrame))
  }
  const rate: Row = {
    label: `clean rate, ${pairs} pairs`,
    unit: 'packets/s',
    digits: 0,
    samples: samples.rate,
  }
  return [
    withBounds(rate, { server: DERPER, atLeast: AT_LEAST[pairs] ?? 1 }),
    { label: '– loss there', unit: '%', digits: 2, samples: samples.loss },
    { label: '– p99 there', unit: 'ms', digits: 1, samples: samples.p99 },
    { label: '– CPU per frame there', unit: 'µs', digits: 2, samples: samples.cpu },
  ]
}

/** Loss by rate, of the steps that were measured in all rounds. */
function seriesOf(searches: readonly Search[], pairs: number): Series {
  const points: Record<string, [number, number][]> = {}
  for (const { server, tried } of searches) {
    const steps = [...tried].sort(([a], [b]) => a - b)
    points[server.name] = steps.map(([step, outcomes]) => [
      rateAt(step),
      100 * sampleOf(outcomes.map(lossOf)).median,
    ])
  }
  return { name: `loss-${pairs}-pairs`, points }
}

/** The name of the fact that holds a server's clean rate. */
export function cleanRateFact(server: string, pairs: number): string {
  return `clean rate, ${server}, ${pairs} pairs`
}

/** A server's clean rate with 10 pairs: that of this run if it is known, otherwise by a rough search. */
export async function knownCleanRate(bench: Bench, server: Server): Promise<number> {
  const name = cleanRateFact(server.name, 10)
  return (bench.facts[name] ??= await roughCleanRate(bench, server, 10))
}

/** A clean rate by a rough search. @param more what is unusual about the load */
export async function roughCleanRate(
  bench: Bench,
  target: LoadTarget,
  pairs: number,
  more: Partial<Load> = {},
): Promise<number> {
  return rateAt(await roughCleanStep(bench, target, pairs, more))
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
        `1420-byte packets, one per TLS record, by a schedule; steps of 5 %, each counted by the median of its ${bench.effort.rounds} rounds. A packet is lost if it was due in the window and has not arrived 0.2 s after it, even if a full socket did not accept it. At least ${100 * CARRIED_MIN} % of the offered rate have to arrive during the window, so that a rate with a growing backlog does not count as clean.`,
        `The rate is one number per server; the rounds are those of the loss below it. ${OLD_DERPER} is still in wide use.`,
      ],
    }
  },
}
