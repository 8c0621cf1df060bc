// Which relay threads there are, and the memory that they share. Kept on the control thread, which starts and ends
// them. A thread that joins gets memory that nothing has used: one that has died may have left its own in any state.
// Hands out memory only; telling the threads what they were given is the caller's part.

import { ringMemory } from './ring.ts'
import { Wakeup } from './wakeup.ts'

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

export class ThreadMemories {
  readonly #activity = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  /** The wakeups of the threads that are there. */
  readonly #wakeups = new Map<number, SharedArrayBuffer>()

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
    return { memory: { index, activity: this.#activity, wakeup, links }, others }
  }

  /** The thread has ended; the others must be told. */
  leave(index: number): void {
    this.#wakeups.delete(index)
  }
}
