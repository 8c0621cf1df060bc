// Pseudo-random numbers from a seed, so that findings can be repeated. Not for secrets.

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to `below` - 1. (Mulberry32.) */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(1, below)
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)))
  }

  /** Positions within `length` bytes at which a stream is split, ascending. */
  cuts(length: number): readonly number[] {
    const count = this.below(6)
    return Array.from({ length: count }, () => this.below(length + 1)).toSorted((a, b) => a - b)
  }
}

/** The bytes in pieces, split at these positions. */
export function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts, bytes.length]
  return ends.map((end, at) => bytes.subarray(at === 0 ? 0 : ends[at - 1], end))
}
