// The mesh as this relay sees it: what each relay thread last said of its links to siblings, put together for metrics,
// log and readiness. A relay that has just started is not ready until every sibling has been tried or its time for that
// is over: before, it would call clients unknown that others have.

import type { Check, CheckOutcome } from './health.ts'

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
}

/** A sibling that can be reached is, in this time: dialled, greeted and heard out. */
const START_MS_MAX = 10_000
/** Not to be reached: this relay itself, another name of one that there is a link to, or one not needed so far. */
const NO_SIBLING = new Set(['self', 'twin', 'idle', 'closed'])

export interface LinkWatchParts {
  readonly threadCount: number
  /** Whether siblings are to be expected at all. */
  readonly hasMesh: boolean
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class LinkWatch implements Check {
  readonly name = 'mesh'
  readonly #parts: LinkWatchParts
  readonly #bornMs: number
  readonly #byThread = new Map<number, readonly WatchedLink[]>()
  #isStarted = false

  constructor(parts: LinkWatchParts) {
    this.#parts = parts
    this.#bornMs = parts.now()
  }

  /** A thread has told of its links. */
  note(thread: number, links: readonly WatchedLink[]): void {
    this.#byThread.set(thread, links)
  }

  /** A thread has died, and its links with it. */
  forget(thread: number): void {
    this.#byThread.delete(thread)
  }

  check(): CheckOutcome {
    const { hasMesh, now, threadCount } = this.#parts
    if (!hasMesh) return { isOk: true, detail: 'no siblings' }
    const untried = [...this.#byThread.values()].flat().filter(({ isTried }) => !isTried)
    this.#isStarted ||=
      now() - this.#bornMs > START_MS_MAX || (this.#byThread.size === threadCount && untried.length === 0)
    const views = this.siblings()
    const detail = `${views.filter(({ isUp }) => isUp).length} of ${views.length} siblings reached`
    return { isOk: this.#isStarted, detail }
  }

  /** Each sibling once, by name. */
  siblings(): readonly SiblingView[] {
    const byName = new Map<string, WatchedLink[]>()
    for (const link of [...this.#byThread.values()].flat()) {
      if (NO_SIBLING.has(link.state)) continue
      byName.set(link.name, [...(byName.get(link.name) ?? []), link])
    }
    return [...byName.values()].map((links) => viewOf(links as [WatchedLink, ...WatchedLink[]]))
  }
}

function viewOf(links: readonly [WatchedLink, ...WatchedLink[]]): SiblingView {
  const [first] = links
  const sum = (read: (link: WatchedLink) => number): number =>
    links.reduce((all, link) => all + read(link), 0)
  const worst = (read: (link: WatchedLink) => number): number => Math.max(...links.map(read))
  const rtts = links.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs]))
  return {
    name: first.name,
    isInside: first.isInside,
    isUp: links.every(({ state }) => state === 'up'),
    // Each thread is told of all of them.
    keys: worst(({ keys }) => keys),
    keysRefused: worst(({ keysRefused }) => keysRefused),
    waitingBytes: sum(({ waitingBytes }) => waitingBytes),
    packets: sum(({ packets }) => packets),
    bytes: sum(({ bytes }) => bytes),
    dropped: sum(({ dropped }) => dropped),
    delayMs: worst(({ delayMs }) => delayMs),
    // The way is the same for all threads: the quickest has measured the way, the others a busy thread, too.
    rttMs: rtts.length === 0 ? undefined : Math.min(...rtts),
    jitterMs: Math.min(...links.map(({ jitterMs }) => jitterMs)),
    lossRatio: sum(({ lossRatio }) => lossRatio) / links.length,
  }
}
