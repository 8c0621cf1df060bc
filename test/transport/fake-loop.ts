// A relay thread's loop played on a clock of the test's, which goes on by quarters of a millisecond: connections with
// what the system holds for them, read when the scheduler lets them be.

import { vi } from 'vitest'
import {
  ReadState,
  NO_WRITE_TURNS,
  SHARE_BYTES_MAX,
  type ScheduledConnection,
  type WriteTurns,
} from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'

const turn = async (): Promise<void> => await new Promise((resolve) => void setImmediate(resolve))

/** A connection with what the system holds for it: records, each with the time at which it came. */
export class Source implements ScheduledConnection {
  readonly readState = new ReadState()
  readonly #play: Play
  /** Those before `#readCount` were read: taking each from the front of a long array is slow. */
  #waiting: { sinceMs: number; bytes: number }[] = []
  #readCount = 0
  /** How long each record waited. */
  readonly delaysMs: number[] = []
  readonly visitsMs: number[] = []
  isGone = false
  onRead: (bytes: number) => void = () => undefined

  constructor(play: Play) {
    this.#play = play
  }

  get visits(): number {
    return this.visitsMs.length
  }

  get waitingRecords(): number {
    return this.#waiting.length - this.#readCount
  }

  arrive(bytes: number): void {
    this.#waiting.push({ sinceMs: this.#play.nowMs, bytes })
  }

  /** The loop tells that there is something, if it is to. */
  look(): void {
    if (this.waitingRecords > 0 && this.readState.isAwaited) this.visitsMs.push(this.#play.nowMs)
    while (this.waitingRecords > 0 && this.readState.isAwaited) {
      this.#read()
      this.#play.busyMs += this.#play.recordMs
    }
  }

  readAsWanted(): void {}

  poll(): number {
    this.visitsMs.push(this.#play.nowMs)
    if (this.isGone) return -1
    let byteCount = 0
    while (this.waitingRecords > 0 && byteCount < SHARE_BYTES_MAX) {
      byteCount += this.#read()
      this.#play.busyMs += this.#play.recordMs / CHEAPER_IN_BEATS
    }
    return Math.min(byteCount, SHARE_BYTES_MAX)
  }

  #read(): number {
    const record = this.#waiting[this.#readCount]
    if (record === undefined) return 0
    if (++this.#readCount === this.#waiting.length) {
      this.#waiting = []
      this.#readCount = 0
    }
    this.delaysMs.push(this.#play.nowMs - record.sinceMs)
    this.onRead(record.bytes)
    this.#play.scheduler.read(this, record.bytes)
    return record.bytes
  }
}

export interface Sending {
  readonly recordsPerMs: number
  readonly recordBytes: number
}

const STEPS_PER_MS = 4
/** A turn takes some microseconds. */
const TURNS_PER_STEP = 4
const SWEEP_MS = 60
const RECORD_MS = 0.014
const CHEAPER_IN_BEATS = 3

/** A thread's loop with a clock of its own, which goes on by quarters of a millisecond. */
export class Play {
  nowMs = 0
  /** For so long it has not waited. */
  busyMs = 0
  /** What a record that is read on its own costs. */
  recordMs = RECORD_MS
  readonly scheduler: ReadScheduler
  readonly sources: Source[] = []

  readonly #threads: number

  constructor(turns: WriteTurns = NO_WRITE_TURNS, threads = 1) {
    this.scheduler = new ReadScheduler(
      () => this.nowMs,
      () => this.busyMs,
      turns,
    )
    this.#threads = threads
  }

  source(): Source {
    const source = new Source(this)
    this.sources.push(source)
    return source
  }

  async run(ms: number, sendings: Map<Source, Sending>): Promise<void> {
    const owed = new Map<Source, number>(
      [...sendings.keys()].map((source, at) => [source, at / sendings.size]),
    )
    for (let step = 0; step < ms * STEPS_PER_MS; step++) {
      for (const [source, { recordsPerMs, recordBytes }] of sendings) {
        let due = (owed.get(source) ?? 0) + recordsPerMs / STEPS_PER_MS
        for (; due >= 1; due--) source.arrive(recordBytes)
        owed.set(source, due)
      }
      for (let turns = 0; turns < TURNS_PER_STEP; turns++) {
        for (const source of this.sources) source.look()
        await turn()
      }
      this.nowMs += 1 / STEPS_PER_MS
      if (Number.isInteger(this.nowMs)) vi.advanceTimersByTime(1)
      if (this.nowMs % SWEEP_MS === 0) this.scheduler.sweep(this.#threads)
    }
  }

  /** So many sources that send alike; half of the time is for getting into beats. */
  async runAlike(count: number, sending: Sending): Promise<Source[]> {
    const sources = Array.from({ length: count }, () => this.source())
    const sendings = new Map(sources.map((source) => [source, sending]))
    await this.run(240, sendings)
    for (const source of sources) {
      source.visitsMs.length = 0
      source.delaysMs.length = 0
    }
    await this.run(240, sendings)
    return sources
  }
}
