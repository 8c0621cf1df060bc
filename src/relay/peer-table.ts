// Finds the peer of a 32-byte key that lies anywhere in a buffer, without making a string or an object of
// it. Open addressing over raw key words; the hash is seeded, because remotes choose their keys.
//
//   words:  |k k k k k k k k|· · · · · · · ·|k k k k k k k k|…   eight 32-bit words per slot
//   peers:  |      Peer     |   undefined   |      Peer     |…   at most half full
//
// Contract: keys are compared whole, as bytes. Lookups never allocate.

import { readWord } from '#protocol/bytes.ts'

const WORDS = 8
const CAPACITY_MIN = 64

/** What the table holds: anything that knows its own key. */
export interface Keyed {
  readonly key: Uint8Array
}

export class PeerTable<T extends Keyed> {
  readonly #seed: number
  #words = new Int32Array(CAPACITY_MIN * WORDS)
  #peers: (T | undefined)[] = Array.from({ length: CAPACITY_MIN })
  #mask = CAPACITY_MIN - 1
  #size = 0

  /** @param seed 32 random bits, secret to this process */
  constructor(seed: number) {
    this.#seed = seed | 0
  }

  get size(): number {
    return this.#size
  }

  /** The peer whose key is bytes[at, at + 32). */
  find(bytes: Uint8Array, at: number): T | undefined {
    let slot = this.#hash(bytes, at)
    for (;;) {
      const peer = this.#peers[slot]
      if (peer === undefined || this.#matches(slot, bytes, at)) return peer
      slot = (slot + 1) & this.#mask
    }
  }

  /** Adds a peer whose key is not in the table yet. */
  add(peer: T): void {
    if ((this.#size + 1) * 2 > this.#peers.length) this.#grow()
    this.#place(peer)
    this.#size++
  }

  /** Removes a peer that is in the table, and closes the gap so that no tombstones pile up. */
  remove(peer: T): void {
    let gap = this.#hash(peer.key, 0)
    while (this.#peers[gap] !== peer) gap = (gap + 1) & this.#mask
    for (let at = (gap + 1) & this.#mask; this.#peers[at] !== undefined; at = (at + 1) & this.#mask) {
      const moved = this.#peers[at] as T
      const home = this.#hash(moved.key, 0)
      // `moved` may fill the gap unless its home lies between the gap and where it is.
      if (((at - home) & this.#mask) < ((at - gap) & this.#mask)) continue
      this.#words.copyWithin(gap * WORDS, at * WORDS, (at + 1) * WORDS)
      this.#peers[gap] = moved
      gap = at
    }
    this.#peers[gap] = undefined
    this.#size--
  }

  *[Symbol.iterator](): Generator<T> {
    for (const peer of this.#peers) {
      if (peer !== undefined) yield peer
    }
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = this.#seed
    for (let word = 0; word < WORDS; word++) {
      hash = Math.imul(hash ^ readWord(bytes, at + 4 * word), 0x9e3779b1)
      hash ^= hash >>> 15
    }
    hash = Math.imul(hash ^ this.#seed, 0x85ebca6b)
    return (hash ^ (hash >>> 13)) & this.#mask
  }

  #matches(slot: number, bytes: Uint8Array, at: number): boolean {
    const first = slot * WORDS
    for (let word = 0; word < WORDS; word++) {
      if (this.#words[first + word] !== readWord(bytes, at + 4 * word)) return false
    }
    return true
  }

  #place(peer: T): void {
    let slot = this.#hash(peer.key, 0)
    while (this.#peers[slot] !== undefined) slot = (slot + 1) & this.#mask
    for (let word = 0; word < WORDS; word++) {
      this.#words[slot * WORDS + word] = readWord(peer.key, 4 * word)
    }
    this.#peers[slot] = peer
  }

  #grow(): void {
    const peers = this.#peers
    this.#peers = Array.from({ length: peers.length * 2 })
    this.#words = new Int32Array(this.#peers.length * WORDS)
    this.#mask = this.#peers.length - 1
    for (const peer of peers) if (peer !== undefined) this.#place(peer)
  }
}
