// The box keys of clients that have logged in before: one that comes back is spared the key agreement, which is a twelfth of the
// processor time of its login. When an outage ends, nearly all logins are of this kind. Not persistent, and each relay thread has
// its own. Not concerned with what is in a box, nor with who may log in.
//
// Contract: only keys of clients that have proven theirs are kept, so nobody fills this with keys that are not their own.
// Bounded: with more clients than places, the one that was kept first gives way. What is not here is agreed again.

import { BoxKey, type BoxSecret } from '#protocol/box.ts'
import { isZero } from '#protocol/bytes.ts'
import { KeyTable } from '#protocol/key-table.ts'
import { KEY_BYTES } from '#protocol/limits.ts'

/** A client's key, and the box key. */
const PLACE_BYTES = 2 * KEY_BYTES
/** Of one thread: 8 MiB, for more clients than a thread carries. The system gives what is used of them. */
const PLACES_MAX = 131_072

export class BoxMemory {
  readonly #secret: Pick<BoxSecret, 'agree'>
  /** Where the place of a key begins. */
  readonly #table: KeyTable<number>
  /** A place is free if it is all zero: no client has that key. */
  readonly #places: Buffer
  /** The place that is used next. */
  #next = 0

  /** @param seed 32 random bits, secret to this process */
  constructor(secret: Pick<BoxSecret, 'agree'>, seed: number, placesMax = PLACES_MAX) {
    this.#secret = secret
    this.#table = new KeyTable(seed)
    this.#places = Buffer.alloc(placesMax * PLACE_BYTES)
  }

  /** The box key shared with the holder of the key (32 bytes); undefined as by `BoxSecret.agree`. */
  agree(key: Uint8Array): BoxKey | undefined {
    const at = this.#table.find(key, 0)
    if (at === undefined) return this.#secret.agree(key)
    return new BoxKey(Uint8Array.from(this.#places.subarray(at + KEY_BYTES, at + PLACE_BYTES)))
  }

  /** The holder of the key has opened a box with `box`. */
  keep(key: Uint8Array, box: BoxKey): void {
    if (this.#table.find(key, 0) !== undefined) return
    const at = this.#next
    this.#next = (at + PLACE_BYTES) % this.#places.length
    if (!isZero(this.#places, at, at + KEY_BYTES)) this.#table.delete(this.#places, at)
    this.#places.set(key, at)
    box.copyTo(this.#places, at + KEY_BYTES)
    this.#table.set(key, 0, at)
  }
}
