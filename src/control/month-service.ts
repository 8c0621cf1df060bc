// What this relay has sent in the present month, beside what its operator pays for: told in metrics, in the log at four fifths and
// when it is over, and if the operator wants it, an end to all but disco messages until the month is over. Kept in the state folder,
// so that a restart forgets nothing; without one, it begins at the start. Months are those of UTC. Runs on the control thread.
//
// Contract: of two runs of one relay, each adds what it has sent itself. A crash costs ten seconds.

import { join } from 'node:path'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MonthRule } from '#protocol/relay-limits.ts'
import { alarmFields, alarmOf, isDiscoOnly, monthOf, type MonthAlarm } from './month-alarm.ts'
import type { Service } from './service.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'

const FILE = 'month.json'
const FORMAT = 1
const BYTES_MAX = 4_096
const LOOK_MS = 10_000

export interface MonthServiceParts {
  /** Undefined without a state folder that the relay can use. */
  readonly folder: string | undefined
  readonly log: Log
  readonly rule: MonthRule
  /** Bytes that this run has sent so far. */
  readonly sentBytes: () => number
  /** Unix milliseconds. */
  readonly wall: () => number
  /** From now on clients may send disco messages only, or everything. */
  readonly onDiscoOnly: (isDiscoOnly: boolean) => void
}

interface Kept {
  readonly format: typeof FORMAT
  /** Such as `2026-11`. */
  readonly month: string
  readonly bytes: number
}

export class MonthService implements Service {
  readonly name = 'month'
  readonly #parts: MonthServiceParts
  #rule: MonthRule
  #month: string
  /** Of all runs in this month, as far as it has been counted. */
  #bytes: number
  /** Of this run, what is not in the file. */
  #unkeptBytes = 0
  #countedBytes = 0
  #alarmed: MonthAlarm = 'no'
  #isDiscoOnly = false
  #timer: NodeJS.Timeout | undefined = undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: MonthServiceParts) {
    this.#parts = parts
    this.#rule = parts.rule
    this.#month = this.#monthNow
    this.#bytes = this.#kept()
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
    this.look()
  }

  /** Counts on, and does what follows. To be called now and then. */
  look(): void {
    this.#count()
    if (this.#unkeptBytes > 0) this.#writing = this.#writing.then(async () => await this.#keep())
    this.#judge()
  }

  #count(): void {
    const sent = this.#parts.sentBytes()
    const bytes = Math.max(0, sent - this.#countedBytes)
    this.#countedBytes = sent
    if (this.#month !== this.#monthNow) {
      this.#month = this.#monthNow
      this.#bytes = this.#unkeptBytes = 0
      this.#alarmed = 'no'
    }
    this.#bytes += bytes
    this.#unkeptBytes += bytes
  }

  /** The rule from now on. */
  setRule(rule: MonthRule): void {
    this.#rule = rule
    this.#alarmed = 'no'
    this.look()
  }

  /** Bytes of this month, now; what follows from them is done. Whoever asks often, as scrapes do, causes no writing. */
  get bytes(): number {
    this.#count()
    this.#judge()
    return this.#bytes
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.look()
    await this.#writing
  }

  get #monthNow(): string {
    return monthOf(this.#parts.wall())
  }

  #judge(): void {
    const { log, onDiscoOnly } = this.#parts
    const alarm = alarmOf(this.#bytes, this.#rule)
    if (alarm !== this.#alarmed && alarm !== 'no')
      log.warn(LogEvent.monthBytes, alarmFields(this.#month, this.#bytes, this.#rule))
    this.#alarmed = alarm
    const isOver = isDiscoOnly(alarm, this.#rule)
    if (isOver === this.#isDiscoOnly) return
    this.#isDiscoOnly = isOver
    if (!isOver) log.info(LogEvent.monthBytesFree, { month: this.#month })
    onDiscoOnly(isOver)
  }

  /** Bytes of this month in the file; 0 if it is of no use. */
  #kept(): number {
    const { folder } = this.#parts
    if (folder === undefined) return 0
    try {
      const { format, month, bytes } = JSON.parse(
        readStateFile(join(folder, FILE), BYTES_MAX),
      ) as Partial<Kept>
      const isUseful = format === FORMAT && month === this.#month && Number.isSafeInteger(bytes)
      return isUseful ? Math.max(0, bytes ?? 0) : 0
    } catch {
      return 0
    }
  }

  /** Adds to what is in the file: another run of this relay may have added to it, too. */
  async #keep(): Promise<void> {
    const { folder, log } = this.#parts
    const added = this.#unkeptBytes
    if (folder === undefined || added === 0) return
    this.#unkeptBytes = 0
    const before = this.#kept()
    const kept: Kept = { format: FORMAT, month: this.#month, bytes: before + added }
    try {
      await replaceStateFile(join(folder, FILE), `${JSON.stringify(kept)}\n`)
      this.#bytes = Math.max(this.#bytes, kept.bytes + this.#unkeptBytes)
    } catch (error) {
      this.#unkeptBytes += added
      log.warn(LogEvent.monthNotKept, { path: join(folder, FILE), error })
    }
  }
}
