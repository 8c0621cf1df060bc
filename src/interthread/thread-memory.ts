// Which relay threads there are, and the memory they share, as the one that starts and ends them keeps it. A
// thread that joins gets memory that nobody has used: one that has died may have left its own in any state. Hands
// out memory only; that everybody is told of what they were given is the caller's part.

import { Wakeup, ringMemory } from './ring.ts'
import type { ThreadLink, ThreadMemory } from './thread-links.ts'

/** What is to be said when a thread joins. */
export interface Joining {
  /** To the thread itself, at its start. */
  readonly memory: ThreadMemory
  /** To those who were there before. */
  readonly news: readonly { readonly to: number; readonly link: ThreadLink }[]
}

export class ThreadMemories {
  readonly #claims = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  /** The wakeups of those who are here. */
  readonly #wakeups = new Map<number, SharedArrayBuffer>()

  join(index: number): Joining {
    const wakeup = Wakeup.memory()
    const links: ThreadLink[] = []
    const news: { to: number; link: ThreadLink }[] = []
    for (const [other, otherBell] of this.#wakeups) {
      const [there, back] = [ringMemory(), ringMemory()]
      links.push({ thread: other, wakeup: otherBell, outgoing: there, incoming: back })
      news.push({ to: other, link: { thread: index, wakeup, outgoing: back, incoming: there } })
    }
    this.#wakeups.set(index, wakeup)
    return { memory: { index, claims: this.#claims, wakeup, links }, news }
  }

  /** Who is still here must be told. */
  leave(index: number): void {
    this.#wakeups.delete(index)
  }
}
