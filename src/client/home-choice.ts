// Which region is a client's home: the rules of Tailscale's clients (net/netcheck), kept exactly, so that what this file
// says of a region is what those clients do. Pure: it is given reports and a clock, and measures nothing; which regions are
// measured is in measuring-plan.ts. Latencies are whole nanoseconds, since the clients' relative test is done in these.

/** Reports count for so long: the interval of full reports and the time that one takes, so that one full report always counts. */
const HISTORY_MS = 305_000
/** A move must gain this at least. */
const GAIN_NS_MIN = 10_000_000
/** A region that has sent a frame in this time is alive although it is not measured. */
const ALIVE_MS = 8_000
/** If nothing at all is measured, the home is kept that was heard in this time: two keep-alive intervals. */
const HEARD_MS = 120_000
/** Reports of a client that measures far more often than any does are thinned out by dropping the oldest. */
const REPORTS_MAX = 1_000

/** What one measurement found. */
export interface LatencyReport {
  /** When the measurement began, by the clock of the choice. */
  readonly startedMs: number
  /** Whole nanoseconds by region, more than 0; a region without an answer is missing. */
  readonly latencyNs: ReadonlyMap<number, number>
}

/** Why the home is what it is after a report. */
export type HomeReason =
  | 'first' //           there was no home before
  | 'nearest' //         the home is the nearest region
  | 'moved' //           another region is nearer by both thresholds
  | 'silent' //          moved: the old home was neither measured nor heard
  | 'small-gain' //      kept: the nearest region gains less than 10 ms
  | 'small-ratio' //     kept: the nearest region takes more than two thirds of the home's latency
  | 'heard' //           kept: not measured, but it sent a frame in the last 8 s or since the report began
  | 'forced' //          the user's choice
  | 'kept' //            kept: nothing was measured, but it was heard in the last 120 s
  | 'unknown' //         no home: nothing was measured

export interface HomeDecision {
  /** Undefined if there is none. */
  readonly home: number | undefined
  readonly previous: number | undefined
  readonly reason: HomeReason
  /** The measured region with the smallest latency of the last five minutes; undefined if nothing was measured. */
  readonly nearest: number | undefined
  /** That latency times the region's score. */
  readonly nearestNs: number | undefined
  /** The latency of the previous home in this report times its score; undefined if it was not measured. */
  readonly previousNs: number | undefined
}

export interface HomeChoiceOptions {
  /** Milliseconds of a clock that never goes back, such as `performance.now`. */
  readonly nowMs: () => number
  /** When the last frame from a region came, by the same clock; undefined: never. */
  readonly lastHeardMs?: (region: number) => number | undefined
  /** The current home. */
  readonly home?: number | undefined
  /** Is chosen whenever it is alive, as by TS_DEBUG_FORCE_PREFERRED_DERP. */
  readonly forced?: number | undefined
}

export class HomeChoice {
  readonly #options: HomeChoiceOptions
  readonly #reports: { readonly atMs: number; readonly latencyNs: ReadonlyMap<number, number> }[] = []
  #scores: ReadonlyMap<number, number> = new Map()
  #home: number | undefined

  constructor(options: HomeChoiceOptions) {
    this.#options = options
    this.#home = options.home
  }

  get home(): number | undefined {
    return this.#home
  }

  /**
   * The scores of a map's HomeParams. Latencies are multiplied by them; 0 and less is ignored. A map without scores leaves
   * them as they are, so it makes no call; a map with `{}` resets them.
   */
  setScores(scores: ReadonlyMap<number, number>): void {
    this.#scores = scores
  }

  /** Adds a report and chooses the home. */
  choose({ startedMs, latencyNs }: LatencyReport): HomeDecision {
    const nowMs = this.#options.nowMs()
    this.#remember(nowMs, latencyNs)
    const previous = this.#home
    const { nearest, nearestNs } = this.#nearest(latencyNs)
    const measuredNs = previous === undefined ? undefined : latencyNs.get(previous)
    const previousNs =
      measuredNs === undefined || previous === undefined ? undefined : this.#scored(previous, measuredNs)
    const facts = { previous, nearest, nearestNs, previousNs }
    const [home, reason] = this.#decide(facts, { latencyNs, startedMs, nowMs })
    this.#home = home
    return { home, reason, ...facts }
  }

  #remember(nowMs: number, latencyNs: ReadonlyMap<number, number>): void {
    this.#reports.push({ atMs: nowMs, latencyNs })
    const isOver = ({ atMs }: { atMs: number }): boolean => nowMs - atMs > HISTORY_MS
    while (this.#reports.length > REPORTS_MAX || this.#reports.slice(0, 1).some(isOver)) this.#reports.shift()
  }

  /** Of the regions in this report, the one with the smallest latency in all reports, times its score. */
  #nearest(latencyNs: ReadonlyMap<number, number>): Pick<HomeDecision, 'nearest' | 'nearestNs'> {
    let nearest: number | undefined
    let nearestNs: number | undefined
    for (const region of latencyNs.keys()) {
      const known = this.#reports.flatMap((report) => report.latencyNs.get(region) ?? [])
      const bestNs = this.#scored(region, Math.min(...known))
      // Tailscale's clients choose any of several equal ones. Here it is the home, else the lowest number.
      const isPreferred =
        nearest === undefined || region === this.#home || (nearest !== this.#home && region < nearest)
      if (nearestNs === undefined || bestNs < nearestNs || (bestNs === nearestNs && isPreferred)) {
        nearest = region
        nearestNs = bestNs
      }
    }
    return { nearest, nearestNs }
  }

  #decide(
    { previous, nearest, nearestNs, previousNs }: Omit<HomeDecision, 'home' | 'reason'>,
    report: {
      readonly latencyNs: ReadonlyMap<number, number>
      readonly startedMs: number
      readonly nowMs: number
    },
  ): [number | undefined, HomeReason] {
    const { forced } = this.#options
    const { nowMs } = report
    const isHeard = (region: number): boolean =>
      this.#isHeardAfter(region, Math.min(report.startedMs, nowMs - ALIVE_MS))
    if (forced !== undefined && (report.latencyNs.has(forced) || isHeard(forced))) return [forced, 'forced']
    if (nearest === undefined || nearestNs === undefined) {
      const isKept = previous !== undefined && this.#isHeardAfter(previous, nowMs - HEARD_MS)
      return isKept ? [previous, 'kept'] : [undefined, 'unknown']
    }
    if (previous === undefined) return [nearest, 'first']
    if (nearest === previous) return [nearest, 'nearest']
    if (previousNs === undefined) return isHeard(previous) ? [previous, 'heard'] : [nearest, 'silent']
    if (previousNs - nearestNs < GAIN_NS_MIN) return [previous, 'small-gain']
    if (nearestNs > twoThirdsNs(previousNs)) return [previous, 'small-ratio']
    return [nearest, 'moved']
  }

  #isHeardAfter(region: number, ms: number): boolean {
    const heardMs = this.#options.lastHeardMs?.(region)
    return heardMs !== undefined && heardMs > ms
  }

  #scored(region: number, ns: number): number {
    const score = this.#scores.get(region) ?? 0
    return score > 0 ? Math.trunc(ns * score) : ns
  }
}

/** In whole nanoseconds, divided first, as Go does it. */
function twoThirdsNs(ns: number): number {
  return Math.trunc(ns / 3) * 2
}

/**
 * The largest latency, times its score, with which another region takes over from a home that now has `homeNs`. Not more
 * than 0 if no region can: a home of up to 10 ms is never left while it answers.
 */
export function takeOverNsMax(homeNs: number): number {
  return Math.min(homeNs - GAIN_NS_MIN, twoThirdsNs(homeNs))
}
