// The lease that the relay went by last, and the largest serial of each signing key, kept in the state folder: a relay that is
// restarted goes by that lease until its end, whatever the file has become meanwhile, and takes no earlier one. A folder that cannot
// be written to is no reason not to serve. Runs on the control thread.
//
// Contract: of two runs of one relay, neither makes the other forget a serial. A file is complete or it is not there.

import { join } from 'node:path'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { LEASE_BYTES_MAX } from '#protocol/lease.ts'
import { readStateFile, replaceStateFileNow } from './state-file.ts'

const FILE = 'lease.json'
const FORMAT = 1
/** Of a lease with the most bytes, as a JSON string, and the serials. */
const BYTES_MAX = LEASE_BYTES_MAX + 1_048_576
/** Of keys that were trusted once. */
const SERIALS_MAX = 64

export interface KeptLease {
  /** By the public key in the text form of options. */
  readonly serials: ReadonlyMap<string, number>
  /** Empty if there is none. */
  readonly text: string
}

const NOTHING: KeptLease = { serials: new Map(), text: '' }

export class LeaseMemory {
  readonly #path: string
  readonly #log: Log

  constructor(folder: string, log: Log) {
    this.#path = join(folder, FILE)
    this.#log = log
  }

  /** Of no use: it is replaced by the next one. What it says is verified like any other lease. */
  read(): KeptLease {
    try {
      return keptIn(JSON.parse(readStateFile(this.#path, BYTES_MAX)))
    } catch {
      return NOTHING
    }
  }

  keep(text: string, serials: ReadonlyMap<string, number>): void {
    const before = this.read()
    const all = new Map(before.serials)
    for (const [key, serial] of serials) {
      const newest = Math.max(serial, all.get(key) ?? -1)
      all.delete(key)
      all.set(key, newest)
    }
    const isNewest = [...serials].every(([key, serial]) => serial >= (before.serials.get(key) ?? -1))
    const content = {
      format: FORMAT,
      serials: Object.fromEntries([...all].slice(-SERIALS_MAX)),
      lease: isNewest ? text : before.text,
    }
    try {
      replaceStateFileNow(this.#path, `${JSON.stringify(content)}\n`)
    } catch (error) {
      this.#log.warn(LogEvent.leaseNotKept, { path: this.#path, error })
    }
  }
}

function keptIn(content: unknown): KeptLease {
  if (typeof content !== 'object' || content === null) return NOTHING
  const { format, serials, lease } = content as { format?: unknown; serials?: unknown; lease?: unknown }
  if (format !== FORMAT || typeof serials !== 'object' || serials === null) return NOTHING
  const known = Object.entries(serials).filter(
    (entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && (entry[1] as number) >= 0,
  )
  return { serials: new Map(known), text: typeof lease === 'string' ? lease : '' }
}
