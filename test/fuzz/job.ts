// The job of a fuzzing thread, and the shared memory in which it reports its progress.

export interface FuzzJob {
  readonly names: readonly string[]
  readonly seed: number
  readonly forMs: number
  readonly progress: SharedArrayBuffer
}

/** The last attempt: number of attempts, seed, length of the input, index of the target; then the input. */
export const PROGRESS_BYTES = 16 + 80_000
