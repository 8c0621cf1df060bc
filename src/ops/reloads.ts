// Files that are read again while the relay serves: whether what is in each now is used, and since when. The outcome
// that metrics tell of; a file that can't be used changes nothing else.

import { sample, type MetricFamily } from './metric-family.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

interface Outcome {
  isSuccessful: boolean
  /** When what is used was taken, Unix time. */
  takenMs: number
}

export class Reloads {
  readonly #log: Log
  readonly #now: () => number
  readonly #byFile = new Map<string, Outcome>()

  /** @param now Unix time in milliseconds */
  constructor(log: Log, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** What is in the file is used. @param file the option that names it */
  taken(file: string, path: string): void {
    if (this.#byFile.get(file)?.isSuccessful === false) this.#log.info(LogEvent.fileUsableAgain, { path })
    this.#byFile.set(file, { isSuccessful: true, takenMs: this.#now() })
  }

  /** It is not, and what was used before is used on. Who refuses it says why. */
  refused(file: string): void {
    const takenMs = this.#byFile.get(file)?.takenMs ?? 0
    this.#byFile.set(file, { isSuccessful: false, takenMs })
  }

  families(): MetricFamily[] {
    const files = [...this.#byFile]
    return [
      {
        name: 'derp_config_last_reload_successful',
        type: 'gauge',
        help: '1 when what is in the file now is used, 0 when what was in it before is.',
        samples: files.map(([file, { isSuccessful }]) => sample(Number(isSuccessful), { file })),
      },
      {
        name: 'derp_config_last_reload_success_timestamp_seconds',
        type: 'gauge',
        help: 'When what is used was taken from the file, Unix time.',
        samples: files.map(([file, { takenMs }]) => sample(takenMs / 1_000, { file })),
      },
    ]
  }
}
