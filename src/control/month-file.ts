// A file of the state folder with what was sent in a month: written whole, read as whatever it says of that month. What the bytes
// mean is its owner's matter (month-service.ts, tenant-months.ts). Runs on the control thread.
//
// Contract: a file that is of no use says nothing; one that cannot be written is told in the log, and changes nothing.

import { join } from 'node:path'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'

const FORMAT = 1

interface Kept {
  readonly format: typeof FORMAT
  /** Such as `2026-11`. */
  readonly month: string
  readonly bytes: unknown
}

export class MonthFile {
  readonly #path: string
  readonly #bytesMax: number
  readonly #log: Log

  /** @param bytesMax of the file; a longer one is of no use */
  constructor(folder: string, name: string, bytesMax: number, log: Log) {
    this.#path = join(folder, name)
    this.#bytesMax = bytesMax
    this.#log = log
  }

  /** What the file says of that month, unchecked; undefined if it is of no use. */
  read(month: string): unknown {
    try {
      const kept = JSON.parse(readStateFile(this.#path, this.#bytesMax)) as Partial<Kept>
      return kept.format === FORMAT && kept.month === month ? kept.bytes : undefined
    } catch {
      return undefined
    }
  }

  /** Returns whether it was written. */
  async replace(month: string, bytes: unknown): Promise<boolean> {
    const kept: Kept = { format: FORMAT, month, bytes }
    try {
      await replaceStateFile(this.#path, `${JSON.stringify(kept)}\n`)
      return true
    } catch (error) {
      this.#log.warn(LogEvent.monthNotKept, { path: this.#path, error })
      return false
    }
  }
}
