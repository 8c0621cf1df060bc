// What this relay has sent in the present month, beside what its operator pays for: told in metrics, in the log at four fifths and
// when it is over, and if the operator wants it, an end to all but disco messages until the month is over. Kept in the state folder,
// so that a restart forgets nothing; without one, it begins at the start. Months are those of UTC. Runs on the control thread.
//
// Contract: of two runs of one relay, each adds what it has sent itself. A crash costs ten seconds.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MonthRule } from '#protocol/relay-limits.ts'
import { alarmFields, alarmOf, isDiscoOnly, monthOf, type MonthAlarm } from './month-alarm.ts'
import { MonthFile } from './month-file.ts'
import type { Service } from './service.ts'

const FILE = 'month.json'
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

export class MonthService implements Service {
  readonly name = 'month'
  readonly #parts: MonthServiceParts
  readonly #file: MonthFile | undefined
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
    this.#file =
      parts.folder === undefined ? undefined : new MonthFile(parts.folder, FILE, BYTES_MAX, parts.log)
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
    const bytes = this.#file?.read(this.#month)
    return Number.isSafeInteger(bytes) ? Math.max(0, Number(bytes)) : 0
  }

  /** Adds to what is in the file: another run of this relay may have added to it, too. */
  async #keep(): Promise<void> {
    const added = this.#unkeptBytes
    if (this.#file === undefined || added === 0) return
    this.#unkeptBytes = 0
    const bytes = this.#kept() + added
    if (await this.#file.replace(this.#month, bytes))
      this.#bytes = Math.max(this.#bytes, bytes + this.#unkeptBytes)
    else this.#unkeptBytes += added
  }
}
