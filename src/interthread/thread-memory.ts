// Which relay threads there are, and the memory that they share. Kept on the control thread, which starts and ends
// them. A thread that joins gets memory that nothing has used: one that has died may have left its own in any state.
// While another run of this relay lives on the host, its threads are further threads here, with numbers of their own; the
// bridge (`run-bridge.ts`) holds the other ends of their rings. Hands out memory only; telling the threads what they were
// given is the caller's part.

import { ringMemory } from './ring.ts'
import { Wakeup } from './wakeup.ts'

/** The number of another run's first thread, as the threads of this run know it; theirs are below. */
export const OTHER_RUN_AT = 256
/**
 * The number of a thread that is no relay thread and has keys as they have: the lane's. Not linked with another run's threads, which
 * know relay threads only.
 */
export const GUEST_THREAD = 512
/**
 * How far the count of activity of a run starts ahead of the run before it: a client that logs in to the newer one receives
 * there, whatever its old session does. Clients cause far fewer changes while both run, and the numbers wrap around.
 */
const ACTIVITY_AHEAD = 0x1000_0000

/** How a thread reaches another and is reached by it. */
export interface ThreadLink {
  readonly thread: number
  /** The other's. */
  readonly wakeup: SharedArrayBuffer
  readonly outgoing: SharedArrayBuffer
  readonly incoming: SharedArrayBuffer
}

/** What a thread of a relay of several threads is given at its start. */
export interface ThreadMemory {
  readonly index: number
  /** The count of activity that all threads share. */
  readonly activity: SharedArrayBuffer
  /** Its own. */
  readonly wakeup: SharedArrayBuffer
  /** To the threads that were there before; they send a full presence sync. */
  readonly links: readonly ThreadLink[]
}

/** What is to be said when a thread joins. */
export interface Joining {
  /** To the thread itself, at its start. */
  readonly memory: ThreadMemory
  /** To the threads that were there before. */
  readonly others: readonly { readonly to: number; readonly link: ThreadLink }[]
}

/** A thread of this run and one of another run, whose frames the bridge carries. */
export interface BridgedPair {
  readonly here: number
  /** By its number in its own run. */
  readonly there: number
  /** Of the thread here. */
  readonly wakeup: SharedArrayBuffer
  readonly fromHere: SharedArrayBuffer
  readonly toHere: SharedArrayBuffer
}

/** What the bridge to another run is given. */
export interface BridgeMemory {
  /** Its own: it is what the threads of this run wake in place of the other run's. */
  readonly wakeup: SharedArrayBuffer
  readonly pairs: readonly BridgedPair[]
}

interface OtherRun {
  readonly wakeup: SharedArrayBuffer
  readonly threadCount: number
  readonly pairs: BridgedPair[]
}

export class ThreadMemories {
  readonly #activity = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  /** The wakeups of the threads that are there. */
  readonly #wakeups = new Map<number, SharedArrayBuffer>()
  #otherRun: OtherRun | undefined = undefined

  /** The count of activity now. */
  get activity(): number {
    return Atomics.load(new Int32Array(this.#activity), 0)
  }

  /** Counts on from a run before this one. To be called before any thread starts. */
  startAfter(activity: number): void {
    Atomics.store(new Int32Array(this.#activity), 0, (activity + ACTIVITY_AHEAD) | 0)
  }

  join(index: number): Joining {
    const wakeup = Wakeup.memory()
    const links: ThreadLink[] = []
    const others: { to: number; link: ThreadLink }[] = []
    for (const [other, otherWakeup] of this.#wakeups) {
      const [there, back] = [ringMemory(), ringMemory()]
      links.push({ thread: other, wakeup: otherWakeup, outgoing: there, incoming: back })
      others.push({ to: other, link: { thread: index, wakeup, outgoing: back, incoming: there } })
    }
    this.#wakeups.set(index, wakeup)
    links.push(...this.#bridge(index))
    return { memory: { index, activity: this.#activity, wakeup, links }, others }
  }

  /**
   * Another run's threads join. Threads that join later are linked with them, too.
   *
   * @returns what is to be said to the threads that are there
   */
  openRun(threadCount: number): Joining['others'] {
    if (this.#otherRun !== undefined) throw new Error('there is another run already')
    this.#otherRun = { wakeup: Wakeup.memory(), threadCount, pairs: [] }
    return Array.from(this.#wakeups.keys(), (to) => this.#bridge(to).map((link) => ({ to, link }))).flat()
  }

  /** For the bridge, once all threads have joined; undefined without another run. */
  get bridge(): BridgeMemory | undefined {
    return this.#otherRun && { wakeup: this.#otherRun.wakeup, pairs: this.#otherRun.pairs }
  }

  /** The other run's threads have left. Returns their numbers; the threads here must be told. */
  closeRun(): readonly number[] {
    const { threadCount = 0 } = this.#otherRun ?? {}
    this.#otherRun = undefined
    return Array.from({ length: threadCount }, (_, there) => OTHER_RUN_AT + there)
  }

  /** Links a thread of this run with all of the other one. */
  #bridge(here: number): readonly ThreadLink[] {
    const { wakeup: bridgeWakeup, threadCount = 0, pairs = [] } = this.#otherRun ?? {}
    const wakeup = this.#wakeups.get(here)
    if (wakeup === undefined || bridgeWakeup === undefined || here === GUEST_THREAD) return []
    return Array.from({ length: threadCount }, (_, there) => {
      const [fromHere, toHere] = [ringMemory(), ringMemory()]
      pairs.push({ here, there, wakeup, fromHere, toHere })
      return { thread: OTHER_RUN_AT + there, wakeup: bridgeWakeup, outgoing: fromHere, incoming: toHere }
    })
  }

  /** The thread has ended; the others must be told. */
  leave(index: number): void {
    this.#wakeups.delete(index)
  }
}
