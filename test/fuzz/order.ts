// What a fuzzing thread is told to do, and the memory in which it says what it is at.

export interface Order {
  readonly names: readonly string[]
  readonly seed: number
  readonly forMs: number
  readonly beats: SharedArrayBuffer
}

/** What was tried last: how many attempts there were, the seed, the input's length, whose it was; then the input. */
export const BEATS_BYTES = 16 + 80_000
