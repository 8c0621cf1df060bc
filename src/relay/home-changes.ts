// Who hears that a key's clients on this thread have noted this relay as their home, or do so no more: the other
// threads, the key directory, siblings of other regions. A client may change its mind as often as it likes; that costs
// the others no more than a word in each sweep. What a note means for watchers is `peer-registry.ts`.
//
// Contract: the first change is told at once. What follows within the same sweep is told at its end, if it differs from
// what was told last. The end of a key's last session is never kept waiting.

import type { Peer } from './peer.ts'

export interface HomeChangesParts {
  /** What has been told of `peer` (`isHomeHere`) is something else from now on. */
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
  noted(peer: Peer): void {
    if (peer.sessions.length > 0) {
      if (this.#recent.has(peer)) return
      this.#recent.add(peer)
    }
    this.#look(peer)
  }

  /** To be called about twice a second. */
  sweep(): void {
    if (this.#recent.size === 0) return
    const recent = this.#recent
    this.#recent = new Set()
    for (const peer of recent) {
      if (this.#look(peer)) this.#recent.add(peer)
    }
  }

  /** Tells of a change; false: there is none. */
  #look(peer: Peer): boolean {
    const isHomeHere = peer.sessions.some(({ member }) => member?.isHome === true)
    if (isHomeHere === peer.isHomeHere) return false
    peer.isHomeHere = isHomeHere
    this.#parts.changed(peer)
    return true
  }
}
