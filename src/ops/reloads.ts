// The outcome of the last reload of each file that is read again while the relay runs, for metrics. A file with invalid
// content changes nothing: its previous content stays in use.

import { sample, type MetricFamily } from './metric-family.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

export interface ReloadOutcome {
  isSuccessful: boolean
  /** When the content in use was read, Unix time in milliseconds. */
  acceptedMs: number
}

export class Reloads {
  readonly #log: Log
  readonly #now: () => number
  readonly #byFile = new Map<string, ReloadOutcome>()

  /** @param now Unix time in milliseconds */
  constructor(log: Log, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** The file's content is in use. @param file the option that names the file */
  accepted(file: string, path: string): void {
    if (this.#byFile.get(file)?.isSuccessful === false) this.#log.info(LogEvent.fileUsableAgain, { path })
    this.#byFile.set(file, { isSuccessful: true, acceptedMs: this.#now() })
  }

  /** The file's content is invalid; the previous content stays in use. The caller logs the reason. */
  rejected(file: string): void {
    const acceptedMs = this.#byFile.get(file)?.acceptedMs ?? 0
    this.#byFile.set(file, { isSuccessful: false, acceptedMs })
  }

  /** @param others of files that report their outcomes elsewhere, by the option that names them */
  families(others: readonly (readonly [string, ReloadOutcome])[] = []): MetricFamily[] {
    const files = [...this.#byFile, ...others]
    return [
      {
        name: 'derp_config_last_reload_successful',
        type: 'gauge',
        help: "1 if the file's current content is in use, 0 if its previous content is.",
        samples: files.map(([file, { isSuccessful }]) => sample(Number(isSuccessful), { file })),
      },
      {
        name: 'derp_config_last_reload_success_timestamp_seconds',
        type: 'gauge',
        help: 'Unix time at which the content in use was read from the file.',
        samples: files.map(([file, { acceptedMs }]) => sample(acceptedMs / 1_000, { file })),
      },
    ]
  }
}
