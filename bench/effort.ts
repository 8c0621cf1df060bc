// How thoroughly a run measures, and on which processors. Set by the command line (options.ts).

/** Rounds, lengths and counts. Stored in the run's record, so names are part of its format. */
export interface Effort {
  readonly isQuick: boolean
  readonly rounds: number
  /** The measured window of a load, and the time before it. */
  readonly seconds: number
  readonly warmSeconds: number
  /** Idle connections, and clients of a reconnect storm. */
  readonly idleConnections: number
  readonly quietSeconds: number
  /** Clients of the figure `hundred-thousand`; undefined: as it is named. */
  readonly crowd?: number
}

/** Lists of processors, in the format of taskset. */
export interface CpuSets {
  readonly server: string
  readonly generator: string
  readonly both: string
}
