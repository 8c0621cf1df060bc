// A table by 32-byte keys that lie anywhere in a buffer, without making a string or an object of them. Open
// addressing over raw key words; the hash is seeded, because remotes choose their keys.
//
//   words:   |k k k k k k k k|· · · · · · · ·|k k k k k k k k|…   eight 32-bit words per slot
//   values:  |       V       |   undefined   |       V       |…   at most half full
//
// Contract: keys are compared whole, as bytes. Lookups never allocate.

import { readWord } from './bytes.ts'
import { KEY_BYTES } from './limits.ts'

const WORDS = KEY_BYTES / 4
const CAPACITY_MIN = 64

export class KeyTable<V> {
  readonly #seed: number
  #words = new Int32Array(CAPACITY_MIN * WORDS)
  #values: (V | undefined)[] = Array.from({ length: CAPACITY_MIN })
  #mask = CAPACITY_MIN - 1
  #size = 0

  /** @param seed 32 random bits, secret to this process */
  constructor(seed: number) {
    this.#seed = seed | 0
  }

  get size(): number {
    return this.#size
  }

  /** The value of the key bytes[at, at + 32). */
  find(bytes: Uint8Array, at: number): V | undefined {
    return this.#values[this.#slotOf(bytes, at)]
  }

  /** Sets the value of a key, which is copied; one that was there is replaced. */
  set(bytes: Uint8Array, at: number, value: V): void {
    let slot = this.#slotOf(bytes, at)
    if (this.#values[slot] === undefined) {
      if ((this.#size + 1) * 2 > this.#values.length) {
        this.#grow()
        slot = this.#slotOf(bytes, at)
      }
      for (let word = 0; word < WORDS; word++) {
        this.#words[slot * WORDS + word] = readWord(bytes, at + 4 * word)
      }
      this.#size++
    }
    this.#values[slot] = value
  }

  /** Removes a key, and closes the gap so that no tombstones pile up. False: it was not there. */
  delete(bytes: Uint8Array, at: number): boolean {
    let gap = this.#slotOf(bytes, at)
    if (this.#values[gap] === undefined) return false
    for (
      let next = (gap + 1) & this.#mask;
      this.#values[next] !== undefined;
      next = (next + 1) & this.#mask
    ) {
      const home = this.#homeOf(next)
      // What is at `next` may fill the gap unless its home lies between the gap and where it is.
      if (((next - home) & this.#mask) < ((next - gap) & this.#mask)) continue
      this.#words.copyWithin(gap * WORDS, next * WORDS, (next + 1) * WORDS)
      this.#values[gap] = this.#values[next]
      gap = next
    }
    this.#values[gap] = undefined
    this.#size--
    return true
  }

  *[Symbol.iterator](): Generator<V> {
    for (const value of this.#values) {
      if (value !== undefined) yield value
    }
  }

  /** Copies of the keys whose values fit, one behind the other. */
  keysWhere(fits: (value: V) => boolean): Uint8Array {
    const slots: number[] = []
    for (const [slot, value] of this.#values.entries()) {
      if (value !== undefined && fits(value)) slots.push(slot)
    }
    const keys = new Uint8Array(slots.length * KEY_BYTES)
    for (const [i, slot] of slots.entries()) {
      for (let word = 0; word < WORDS; word++) {
        const bits = this.#words[slot * WORDS + word] as number
        for (let byte = 0; byte < 4; byte++) keys[i * KEY_BYTES + 4 * word + byte] = bits >>> (8 * byte)
      }
    }
    return keys
  }

  /** Where the key is, or the empty slot where it would be. */
  #slotOf(bytes: Uint8Array, at: number): number {
    let slot = this.#hash(bytes, at)
    while (this.#values[slot] !== undefined && !this.#matches(slot, bytes, at)) slot = (slot + 1) & this.#mask
    return slot
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = this.#seed
    for (let word = 0; word < WORDS; word++) hash = mixed(hash, readWord(bytes, at + 4 * word))
    return this.#finished(hash)
  }

  /** The same of the key in a slot. */
  #homeOf(slot: number): number {
    let hash = this.#seed
    for (let word = 0; word < WORDS; word++) hash = mixed(hash, this.#words[slot * WORDS + word] as number)
    return this.#finished(hash)
  }

  #finished(mixedHash: number): number {
    const hash = Math.imul(mixedHash ^ this.#seed, 0x85ebca6b)
    return (hash ^ (hash >>> 13)) & this.#mask
  }

  #matches(slot: number, bytes: Uint8Array, at: number): boolean {
    const first = slot * WORDS
    for (let word = 0; word < WORDS; word++) {
      if (this.#words[first + word] !== readWord(bytes, at + 4 * word)) return false
    }
    return true
  }

  #grow(): void {
    const words = this.#words
    const values = this.#values
    this.#values = Array.from({ length: values.length * 2 })
    this.#words = new Int32Array(this.#values.length * WORDS)
    this.#mask = this.#values.length - 1
    for (const [from, value] of values.entries()) {
      if (value === undefined) continue
      const moved = words.subarray(from * WORDS, (from + 1) * WORDS)
      let slot = this.#finished(moved.reduce(mixed, this.#seed))
      while (this.#values[slot] !== undefined) slot = (slot + 1) & this.#mask
      this.#words.set(moved, slot * WORDS)
      this.#values[slot] = value
    }
  }
}

function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1)
  return product ^ (product >>> 15)
}
