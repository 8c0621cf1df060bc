// Whom an operator has kicked, kept in the state folder: a relay that is restarted or upgraded goes on refusing them. Written whole at
// each kick, which are few. A folder that cannot be written to is no reason not to kick; a file that cannot be read, or that a later
// version wrote, is passed over. Times are those of the clock on the wall. Runs on the control thread.
//
// Contract: a file is complete or it is not there.

import { join } from 'node:path'
import type { Bans } from '#admission/bans.ts'
import { KICK_SECONDS_MAX } from '#fleet/kick.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { parsePublicKey, publicKeyText } from '#protocol/node-key.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'

const FILE = 'kicked.json'
const FORMAT = 1
/** Of as many as there may be, a hundred bytes each. */
const BYTES_MAX = 2_097_152
/** Whatever a file says, and wherever the clock was when it was written. */
const FOR_MS_MAX = 1_000 * KICK_SECONDS_MAX

interface Kept {
  readonly format: typeof FORMAT
  /** Until when each key is refused, in Unix milliseconds. */
  readonly untilMs: Readonly<Record<string, number>>
}

export class BanMemory {
  readonly #path: string
  readonly #bans: Bans
  readonly #log: Log
  #writing: Promise<void> = Promise.resolve()

  constructor(folder: string, bans: Bans, log: Log) {
    this.#path = join(folder, FILE)
    this.#bans = bans
    this.#log = log
  }

  /** What an earlier run has refused is refused by this one. */
  read(): void {
    for (const [text, untilMs] of Object.entries(readUntil(this.#path))) {
      const key = parsePublicKey(text)
      const leftMs = Math.min(untilMs - Date.now(), FOR_MS_MAX)
      if (key !== undefined && leftMs > 0) this.#bans.add(key, leftMs)
    }
  }

  /** The key was kicked, or may come back. */
  keep(key: Uint8Array): void {
    this.#writing = this.#writing.then(async () => await this.#write(publicKeyText(key)))
  }

  async stop(): Promise<void> {
    await this.#writing
  }

  /** While two runs of this relay are there, the file has what the other has kicked as well. */
  async #write(changed: string): Promise<void> {
    const nowMs = Date.now()
    const others = Object.entries(readUntil(this.#path)).filter(
      ([text, untilMs]) => text !== changed && untilMs > nowMs,
    )
    const own = this.#bans
      .left()
      .map(([key, leftMs]) => [publicKeyText(key), Math.round(nowMs + leftMs)] as const)
    const kept: Kept = { format: FORMAT, untilMs: Object.fromEntries([...others, ...own]) }
    try {
      await replaceStateFile(this.#path, `${JSON.stringify(kept)}\n`)
    } catch (error) {
      this.#log.warn(LogEvent.admissionNotKept, { path: this.#path, error })
    }
  }
}

/** Empty if there is no such file, or it is of no use. */
function readUntil(path: string): Readonly<Record<string, number>> {
  try {
    const content = JSON.parse(readStateFile(path, BYTES_MAX)) as Partial<Kept> | null
    const { format, untilMs } = content ?? {}
    if (format !== FORMAT || typeof untilMs !== 'object') return {}
    return Object.fromEntries(Object.entries(untilMs).filter(([, until]) => typeof until === 'number'))
  } catch {
    return {}
  }
}
