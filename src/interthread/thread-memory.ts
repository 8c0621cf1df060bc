// Which relay threads there are, and the memory they share, as the one that starts and ends them keeps it. A
// thread that joins gets memory that nobody has used: one that has died may have left its own in any state. Hands
// out memory only; that everybody is told of what they were given is the caller's part.

import { Bell, crossingMemory } from './ring.ts'
import type { ThreadLink, ThreadMemory } from './thread-links.ts'

/** What is to be said when a thread joins. */
export interface Joining {
  /** To the thread itself, at its start. */
  readonly memory: ThreadMemory
  /** To those who were there before. */
  readonly news: readonly { readonly to: number; readonly link: ThreadLink }[]
}

export class Neighbourhood {
  readonly #claims = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  /** The bells of those who are here. */
  readonly #bells = new Map<number, SharedArrayBuffer>()

  join(index: number): Joining {
    const bell = Bell.memory()
    const links: ThreadLink[] = []
    const news: { to: number; link: ThreadLink }[] = []
    for (const [other, otherBell] of this.#bells) {
      const [there, back] = [crossingMemory(), crossingMemory()]
      links.push({ thread: other, bell: otherBell, outgoing: there, incoming: back })
      news.push({ to: other, link: { thread: index, bell, outgoing: back, incoming: there } })
    }
    this.#bells.set(index, bell)
    return { memory: { index, claims: this.#claims, bell, links }, news }
  }

  /** Who is still here must be told. */
  leave(index: number): void {
    this.#bells.delete(index)
  }
}
