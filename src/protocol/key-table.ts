// A hash table with 32-byte keys, which are read from any position of a buffer without a string or an object. Open
// addressing over raw key words. Remotes choose their keys, so the hash is from a family (NH, as in RFC 4418) in which two
// keys collide only by chance: each half of a word has its own secret, and halves are multiplied with each other, so that
// differences that cancel can't be chosen without the secrets.
//
//   words:   |k k k k k k k k|· · · · · · · ·|k k k k k k k k|…   eight 32-bit words per slot
//   values:  |       V       |   undefined   |       V       |…   at most half full
//
// Contract: keys are compared as whole bytes. Lookups never allocate.

import { readWord } from './bytes.ts'
import { KEY_BYTES } from './limits.ts'

const WORDS = KEY_BYTES / 4
const CAPACITY_MIN = 64

export class KeyTable<V> {
  /** Two 16-bit secrets for each word. */
  readonly #secrets = new Int32Array(WORDS)
  #words = new Int32Array(CAPACITY_MIN * WORDS)
  #values: (V | undefined)[] = Array.from({ length: CAPACITY_MIN })
  #mask = CAPACITY_MIN - 1
  #size = 0

  /** @param seed 32 random bits, secret to this process */
  constructor(seed: number) {
    let state = seed | 0
    for (let word = 0; word < WORDS; word++) {
      state = (state + 0x9e3779b9) | 0
      this.#secrets[word] = mix(state)
    }
  }

  get size(): number {
    return this.#size
  }

  /** The value of the key bytes[at, at + 32). */
  find(bytes: Uint8Array, at: number): V | undefined {
    return this.#values[this.#slotOf(bytes, at)]
  }

  /** Sets the value of a key; copies the key. */
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

  /** Removes a key, and closes the gap so that no tombstones accumulate. Returns false if it was not there. */
  delete(bytes: Uint8Array, at: number): boolean {
    let gap = this.#slotOf(bytes, at)
    if (this.#values[gap] === undefined) return false
    for (
      let next = (gap + 1) & this.#mask;
      this.#values[next] !== undefined;
      next = (next + 1) & this.#mask
    ) {
      const firstSlot = this.#firstSlotOf(this.#words, next)
      // The entry at `next` may fill the gap unless its first slot is between the gap and `next`.
      if (((next - firstSlot) & this.#mask) < ((next - gap) & this.#mask)) continue
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

  /** Copies of the keys whose values match, in one array. */
  keysWhere(matches: (value: V) => boolean): Uint8Array {
    const slots: number[] = []
    for (const [slot, value] of this.#values.entries()) {
      if (value !== undefined && matches(value)) slots.push(slot)
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

  /** The slot of the key, or the empty slot where it would be stored. */
  #slotOf(bytes: Uint8Array, at: number): number {
    let slot = this.#hash(bytes, at)
    while (this.#values[slot] !== undefined && !this.#matches(slot, bytes, at)) slot = (slot + 1) & this.#mask
    return slot
  }

  #hash(bytes: Uint8Array, at: number): number {
    const secrets = this.#secrets
    let sum = 0
    for (let word = 0; word < WORDS; word++) {
      sum = (sum + product(readWord(bytes, at + 4 * word), secrets[word] as number)) | 0
    }
    return mix(sum) & this.#mask
  }

  /** The hash of the key in a slot of `words`. */
  #firstSlotOf(words: Int32Array, slot: number): number {
    const secrets = this.#secrets
    let sum = 0
    for (let word = 0; word < WORDS; word++) {
      sum = (sum + product(words[slot * WORDS + word] as number, secrets[word] as number)) | 0
    }
    return mix(sum) & this.#mask
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
      let slot = this.#firstSlotOf(words, from)
      while (this.#values[slot] !== undefined) slot = (slot + 1) & this.#mask
      this.#words.set(words.subarray(from * WORDS, (from + 1) * WORDS), slot * WORDS)
      this.#values[slot] = value
    }
  }
}

/** The product of both halves of a word, each plus its secret modulo 2^16. */
function product(word: number, secret: number): number {
  return Math.imul((word + secret) & 0xffff, ((word >>> 16) + (secret >>> 16)) & 0xffff)
}

/** Mixes `bits` so that each bit of the result depends on each of them (the final step of MurmurHash3). */
function mix(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
