// Keys of clients that siblings have, collected for the control thread: a sibling has admitted them. A key is noted when a
// sibling has it, and again when the link to that sibling is lost, because it was there until then; not when it leaves by
// itself, since the sibling may have ended it. Runs on a relay thread.

import { KEY_BYTES } from '#protocol/limits.ts'

/** Within a second. What is beyond is noted when its link is lost. */
const KEYS_MAX = 20_000

export class SiblingKeys {
  #bytes = new Uint8Array(64 * KEY_BYTES)
  #length = 0

  /** The key bytes[at, at + 32) is at a sibling. */
  note(bytes: Uint8Array, at: number): void {
    if (this.#length >= KEYS_MAX * KEY_BYTES) return
    if (this.#length === this.#bytes.length) this.#grow()
    this.#bytes.set(bytes.subarray(at, at + KEY_BYTES), this.#length)
    this.#length += KEY_BYTES
  }

  /** All keys of one sibling, one after another: the link to it is lost. */
  noteAll(keys: Uint8Array): void {
    for (let at = 0; at < keys.length; at += KEY_BYTES) this.note(keys, at)
  }

  /** What was noted since the last call, one key after another; undefined if nothing was. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) return undefined
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }

  #grow(): void {
    const larger = new Uint8Array(2 * this.#bytes.length)
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}
