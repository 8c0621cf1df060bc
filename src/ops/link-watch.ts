// The state of the mesh as this relay sees it: the last report of each relay thread about its links to siblings, combined
// for metrics and readiness. A relay that has just started is not ready until it has tried to reach every sibling, or the
// time limit for that has passed. Earlier, it would report clients of siblings as unknown.
//
// Contract: a counter of a sibling never falls, even if threads die, links are remade or siblings leave and return.

import type { HealthCheck, CheckOutcome } from './health.ts'

/** The figures of a sibling, from one link or from all links. */
interface SiblingFigures {
  readonly name: string
  readonly isInside: boolean
  readonly keys: number
  readonly keysRefused: number
  readonly waitingBytes: number
  readonly packets: number
  readonly bytes: number
  readonly dropped: number
  readonly delayMs: number
  readonly rttMs: number | undefined
  /** The smallest and the median round trip of the last minute. */
  readonly rttMinMs: number | undefined
  readonly rttMedianMs: number | undefined
  readonly jitterMs: number
  readonly lossRatio: number
}

/** A link of one thread to one sibling. */
export interface WatchedLink extends SiblingFigures {
  /** Identifies the link within its thread. A link's counters start at zero with the link. */
  readonly serial: number
  readonly state: string
  /** Why the link is not up; empty if it is up. */
  readonly why: string
  /** The sibling has sent all its keys, or an attempt to reach it has failed. */
  readonly isTried: boolean
}

/** One sibling, over all threads. */
export interface SiblingView extends SiblingFigures {
  /** The links of all threads are up. */
  readonly isUp: boolean
  /** Why the sibling is not up; empty if it is up. */
  readonly why: string
}

/** A reachable sibling is dialled, logged in to and has sent all its keys within this time. */
const START_MS_MAX = 10_000
/** The most siblings that a check's detail names. */
const NAMED_MAX = 3
/** Counters are kept for this many siblings, also for siblings that have left: more than a fleet replaces in a day. */
const REMEMBERED_MAX = 1_000
/** Links to no sibling: to this relay itself, to a second name of a linked sibling, not needed so far, or closed. */
const NO_SIBLING = new Set(['self', 'alias', 'idle', 'closed'])

export interface LinkWatchParts {
  readonly threadCount: number
  /** Whether the configuration names siblings. */
  readonly hasMesh: boolean
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** The counters of one sibling, summed over all its links so far. */
interface Totals {
  packets: number
  bytes: number
  dropped: number
}

interface ThreadReport {
  /** The edition of the sibling list that the thread knew. */
  readonly edition: number
  readonly links: readonly WatchedLink[]
}

export class LinkWatch implements HealthCheck {
  readonly name = 'mesh'
  readonly #parts: LinkWatchParts
  readonly #bornMs: number
  readonly #byThread = new Map<number, ThreadReport>()
  /** By name; the sibling with the latest report comes last. */
  readonly #totals = new Map<string, Totals>()
  /** The edition of the sibling list that must be tried; Infinity until all siblings are known. */
  #edition = Infinity
  #isStarted = false

  constructor(parts: LinkWatchParts) {
    this.#parts = parts
    this.#bornMs = parts.now()
  }

  /** Threads have received this edition of the sibling list. Reports about earlier editions do not make the relay ready. */
  expect(edition: number): void {
    this.#edition = edition
  }

  /** A thread has reported its links to the siblings of that edition. */
  note(thread: number, edition: number, links: readonly WatchedLink[]): void {
    const before = new Map(this.#byThread.get(thread)?.links.map((link) => [link.serial, link]))
    for (const link of links) this.#count(link, before.get(link.serial))
    this.#byThread.set(thread, { edition, links })
  }

  /** A thread has died, and so have its links. */
  forget(thread: number): void {
    this.#byThread.delete(thread)
  }

  check(): CheckOutcome {
    const { hasMesh, now } = this.#parts
    if (!hasMesh) return { isOk: true, detail: 'no siblings configured' }
    this.#isStarted ||= now() - this.#bornMs > START_MS_MAX || this.#areAllTried
    const views = this.siblings()
    const down = views.filter(({ isUp }) => !isUp)
    const connected = `${views.length - down.length} of ${views.length} siblings connected`
    const named = down.slice(0, NAMED_MAX).map(({ name, why }) => `${name}: ${why || 'not connected yet'}`)
    const more = down.length > NAMED_MAX ? [`and ${down.length - NAMED_MAX} more`] : []
    return { isOk: this.#isStarted, detail: [connected, ...named, ...more].join('; ') }
  }

  /** False until every thread has reported: a missing report does not mean that there are no siblings. */
  get #areAllTried(): boolean {
    const reports = [...this.#byThread.values()]
    if (reports.length < this.#parts.threadCount) return false
    return reports.every(
      ({ edition, links }) => edition >= this.#edition && links.every(({ isTried }) => isTried),
    )
  }

  /** Adds a link's increase since its last report. A new link starts at zero; its sibling's total continues. */
  #count(link: WatchedLink, before: WatchedLink | undefined): void {
    const { packets, bytes, dropped } = this.#totals.get(link.name) ?? { packets: 0, bytes: 0, dropped: 0 }
    this.#totals.delete(link.name)
    this.#totals.set(link.name, {
      packets: packets + link.packets - (before?.packets ?? 0),
      bytes: bytes + link.bytes - (before?.bytes ?? 0),
      dropped: dropped + link.dropped - (before?.dropped ?? 0),
    })
    const [oldest] = this.#totals.keys()
    if (this.#totals.size > REMEMBERED_MAX && oldest !== undefined) this.#totals.delete(oldest)
  }

  /** One view for each sibling. */
  siblings(): readonly SiblingView[] {
    const byName = new Map<string, WatchedLink[]>()
    for (const link of [...this.#byThread.values()].flatMap(({ links }) => links)) {
      if (NO_SIBLING.has(link.state)) continue
      byName.set(link.name, [...(byName.get(link.name) ?? []), link])
    }
    return [...byName].map(([name, links]) =>
      viewOf(links as [WatchedLink, ...WatchedLink[]], this.#totals.get(name)),
    )
  }
}

function viewOf(
  links: readonly [WatchedLink, ...WatchedLink[]],
  totals: Totals = { packets: 0, bytes: 0, dropped: 0 },
): SiblingView {
  const [first] = links
  const sum = (read: (link: WatchedLink) => number): number =>
    links.reduce((all, link) => all + read(link), 0)
  const worst = (read: (link: WatchedLink) => number): number => Math.max(...links.map(read))
  const smallest = (read: (link: WatchedLink) => number | undefined): number | undefined => {
    const known = links.map(read).filter((value) => value !== undefined)
    return known.length === 0 ? undefined : Math.min(...known)
  }
  return {
    name: first.name,
    isInside: first.isInside,
    isUp: links.every(({ state }) => state === 'up'),
    why: links.find(({ state }) => state !== 'up')?.why ?? '',
    // Every thread receives all keys of a sibling.
    keys: worst(({ keys }) => keys),
    keysRefused: worst(({ keysRefused }) => keysRefused),
    waitingBytes: sum(({ waitingBytes }) => waitingBytes),
    ...totals,
    delayMs: worst(({ delayMs }) => delayMs),
    // All threads use the same network path. The smallest value is the path's; larger ones include a busy thread.
    rttMs: smallest(({ rttMs }) => rttMs),
    rttMinMs: smallest(({ rttMinMs }) => rttMinMs),
    rttMedianMs: smallest(({ rttMedianMs }) => rttMedianMs),
    jitterMs: Math.min(...links.map(({ jitterMs }) => jitterMs)),
    lossRatio: sum(({ lossRatio }) => lossRatio) / links.length,
  }
}
