// Changes of what a key's clients on this thread note as their home, for those who are told of them: the other threads,
// the key directory, siblings of other regions. A client may change its note as often as it likes; that costs the
// others no more than one update per sweep. What a note means for watchers is `presence-watchers.ts`.
//
// Contract: the first change is told at once. Changes within the same sweep are told at its end, if the result differs
// from what was told last. The end of a key's last session is never delayed.

import type { Peer } from './peer.ts'

export interface HomeChangesParts {
  /** What was told of `peer` (`isHomeHere`) has changed. */
  readonly changed: (peer: Peer) => void
}

export class HomeChanges {
  readonly #parts: HomeChangesParts
  /** Looked at since the last sweep. */
  #recent = new Set<Peer>()

  constructor(parts: HomeChangesParts) {
    this.#parts = parts
  }

  /** What the sessions of a peer on this thread note as their home may have changed. */
  note(peer: Peer): void {
    if (peer.sessions.length > 0) {
      if (this.#recent.has(peer)) return
      this.#recent.add(peer)
    }
    this.#update(peer)
  }

  /** To be called about twice a second. */
  sweep(): void {
    if (this.#recent.size === 0) return
    const recent = this.#recent
    this.#recent = new Set()
    for (const peer of recent) {
      if (this.#update(peer)) this.#recent.add(peer)
    }
  }

  /** Tells of a change. Returns false if there is none. */
  #update(peer: Peer): boolean {
    const isHomeHere = peer.sessions.some((session) => session.isHome)
    if (isHomeHere === peer.isHomeHere) return false
    peer.isHomeHere = isHomeHere
    this.#parts.changed(peer)
    return true
  }
}
