// The order for a fuzzing thread, and the shared memory in which the thread reports its progress.

export interface Order {
  readonly names: readonly string[]
  readonly seed: number
  readonly forMs: number
  readonly progress: SharedArrayBuffer
}

/** The number of attempts; of the last attempt its seed, the input's length, the parser's index, and the input. */
export const PROGRESS_BYTES = 16 + 80_000
