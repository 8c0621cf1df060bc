// The box keys of clients that have logged in before: one that comes back is spared the key agreement, which is a twelfth of the
// processor time of its login. When an outage ends, nearly all logins are of this kind. Not persistent, and each relay thread has
// its own. Not concerned with what is in a box, nor with who may log in.
//
// Contract: only keys of clients that have proven theirs are kept, so nobody fills this with keys that are not their own.
// Bounded: with more clients than places, those of one group replace each other. What is not here is agreed again.

import { BoxKey, type BoxSecret } from '#protocol/box.ts'
import { isZero, readU32 } from '#protocol/bytes.ts'
import { KEY_BYTES } from '#protocol/limits.ts'

/** A client's key, and the box key. */
const PLACE_BYTES = 2 * KEY_BYTES
/** Places that are searched for a key. Keys are random, so few groups are full before half of all places are. */
const GROUP_PLACES = 4
const GROUP_BYTES = GROUP_PLACES * PLACE_BYTES
const PLACES_MIN = 1_024
/** Of one thread: 8 MiB, for more clients than a thread carries. */
const PLACES_MAX = 131_072

export class BoxMemory {
  readonly #secret: Pick<BoxSecret, 'agree'>
  readonly #placesMax: number
  /** Groups of places; the first bytes of a key name its group. A place is free if it is all zero: no client has that key. */
  #places: Buffer = Buffer.alloc(PLACES_MIN * PLACE_BYTES)
  #kept = 0
  /** Counts what was replaced, to replace another place of a full group next time. */
  #replaced = 0

  /** @param placesMax a power of two */
  constructor(secret: Pick<BoxSecret, 'agree'>, placesMax = PLACES_MAX) {
    this.#secret = secret
    this.#placesMax = placesMax
  }

  /** The box key shared with the holder of the key (32 bytes); undefined as by `BoxSecret.agree`. */
  agree(key: Uint8Array): BoxKey | undefined {
    const at = this.#find(key)
    if (at === undefined) return this.#secret.agree(key)
    return new BoxKey(Uint8Array.from(this.#places.subarray(at + KEY_BYTES, at + PLACE_BYTES)))
  }

  /** The holder of the key has opened a box with `box`. */
  keep(key: Uint8Array, box: BoxKey): void {
    if (this.#find(key) !== undefined) return
    if (2 * this.#kept >= this.#count && this.#count < this.#placesMax) this.#grow()
    const at = this.#placeFor(key, 0)
    this.#places.set(key, at)
    box.copyTo(this.#places, at + KEY_BYTES)
  }

  /** Places, in use or not. */
  get #count(): number {
    return this.#places.length / PLACE_BYTES
  }

  /** Where the key's place is. */
  #find(key: Uint8Array): number | undefined {
    const first = this.#groupOf(key, 0)
    for (let at = first; at < first + GROUP_BYTES; at += PLACE_BYTES) {
      if (this.#places.compare(key, 0, KEY_BYTES, at, at + KEY_BYTES) === 0) return at
    }
    return undefined
  }

  /** Where the group of the key bytes[at, at + 32) begins. */
  #groupOf(bytes: Uint8Array, at: number): number {
    return (readU32(bytes, at) % (this.#count / GROUP_PLACES)) * GROUP_BYTES
  }

  /** A free place of the group of the key bytes[at, at + 32), or one whose client is forgotten. */
  #placeFor(bytes: Uint8Array, at: number): number {
    const first = this.#groupOf(bytes, at)
    for (let place = first; place < first + GROUP_BYTES; place += PLACE_BYTES) {
      if (!isZero(this.#places, place, place + KEY_BYTES)) continue
      this.#kept++
      return place
    }
    return first + (this.#replaced++ % GROUP_PLACES) * PLACE_BYTES
  }

  /** Each group becomes two. */
  #grow(): void {
    const before = this.#places
    this.#places = Buffer.alloc(2 * before.length)
    this.#kept = 0
    for (let at = 0; at < before.length; at += PLACE_BYTES) {
      if (isZero(before, at, at + KEY_BYTES)) continue
      before.copy(this.#places, this.#placeFor(before, at), at, at + PLACE_BYTES)
    }
  }
}
