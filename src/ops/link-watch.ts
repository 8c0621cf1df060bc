// The mesh as this relay sees it: what each relay thread last said of its links to siblings, put together for metrics,
// log and readiness. A relay that has just started is not ready until every sibling has been tried or its time for that
// is over: before, it would call clients unknown that others have.
//
// Contract: what was counted for a sibling never falls, whatever becomes of threads, links and members.

import type { HealthCheck, CheckOutcome } from './health.ts'

/** What is known of a sibling, by one link or by all. */
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
  readonly jitterMs: number
  readonly lossRatio: number
}

/** A link of one thread to one sibling. */
export interface WatchedLink extends SiblingFigures {
  /** Which of its thread's links; its counters began with it. */
  readonly serial: number
  readonly state: string
  /** Why it is not up; empty when it is. */
  readonly why: string
  /** It has told who is there, or could not be had. */
  readonly isTried: boolean
}

/** One sibling, over all threads. */
export interface SiblingView extends SiblingFigures {
  /** All threads can reach it. */
  readonly isUp: boolean
  /** Why not; empty when it is. */
  readonly why: string
}

/** A sibling that can be reached is, in this time: dialled, greeted and heard out. */
const START_MS_MAX = 10_000
/** Names of siblings that a check's detail has room for. */
const NAMED_MAX = 3
/** Siblings whose counters are remembered though they are no members now: more than any fleet exchanges in a day. */
const REMEMBERED_MAX = 1_000
/** Not to be reached: this relay itself, another name of one that there is a link to, or one not needed so far. */
const NO_SIBLING = new Set(['self', 'alias', 'idle', 'closed'])

export interface LinkWatchParts {
  readonly threadCount: number
  /** Whether siblings are to be expected at all. */
  readonly hasMesh: boolean
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** What all links to one sibling have counted so far. */
interface Totals {
  packets: number
  bytes: number
  dropped: number
}

interface ThreadReport {
  /** Of the members that the thread knew. */
  readonly edition: number
  readonly links: readonly WatchedLink[]
}

export class LinkWatch implements HealthCheck {
  readonly name = 'mesh'
  readonly #parts: LinkWatchParts
  readonly #bornMs: number
  readonly #byThread = new Map<number, ThreadReport>()
  /** By name; who was heard of last comes last. */
  readonly #totals = new Map<string, Totals>()
  /** The members that have to be tried; infinite while not all are known. */
  #edition = Infinity
  #isStarted = false

  constructor(parts: LinkWatchParts) {
    this.#parts = parts
    this.#bornMs = parts.now()
  }

  /** Threads have been told of all members there are; what they say of earlier editions does not count. */
  expect(edition: number): void {
    this.#edition = edition
  }

  /** A thread has told of its links to the members of that edition. */
  note(thread: number, edition: number, links: readonly WatchedLink[]): void {
    const before = new Map(this.#byThread.get(thread)?.links.map((link) => [link.serial, link]))
    for (const link of links) this.#count(link, before.get(link.serial))
    this.#byThread.set(thread, { edition, links })
  }

  /** A thread has died, and its links with it. */
  forget(thread: number): void {
    this.#byThread.delete(thread)
  }

  check(): CheckOutcome {
    const { hasMesh, now } = this.#parts
    if (!hasMesh) return { isOk: true, detail: 'no siblings' }
    this.#isStarted ||= now() - this.#bornMs > START_MS_MAX || this.#areAllTried
    const views = this.siblings()
    const down = views.filter(({ isUp }) => !isUp)
    const reached = `${views.length - down.length} of ${views.length} siblings reached`
    const named = down.slice(0, NAMED_MAX).map(({ name, why }) => `${name}: ${why || 'not reached yet'}`)
    const more = down.length > NAMED_MAX ? [`and ${down.length - NAMED_MAX} more`] : []
    return { isOk: this.#isStarted, detail: [reached, ...named, ...more].join('; ') }
  }

  /** Nothing known is not nothing there. */
  get #areAllTried(): boolean {
    const reports = [...this.#byThread.values()]
    if (reports.length < this.#parts.threadCount) return false
    return reports.every(
      ({ edition, links }) => edition >= this.#edition && links.every(({ isTried }) => isTried),
    )
  }

  /** A link counts from zero when it is made, a thread's links when it is started; a sibling does not. */
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

  /** Each sibling once, by name. */
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
  const rtts = links.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs]))
  return {
    name: first.name,
    isInside: first.isInside,
    isUp: links.every(({ state }) => state === 'up'),
    why: links.find(({ state }) => state !== 'up')?.why ?? '',
    // Each thread is told of all of them.
    keys: worst(({ keys }) => keys),
    keysRefused: worst(({ keysRefused }) => keysRefused),
    waitingBytes: sum(({ waitingBytes }) => waitingBytes),
    ...totals,
    delayMs: worst(({ delayMs }) => delayMs),
    // The way is the same for all threads: the quickest has measured the way, the others a busy thread, too.
    rttMs: rtts.length === 0 ? undefined : Math.min(...rtts),
    jitterMs: Math.min(...links.map(({ jitterMs }) => jitterMs)),
    lossRatio: sum(({ lossRatio }) => lossRatio) / links.length,
  }
}
