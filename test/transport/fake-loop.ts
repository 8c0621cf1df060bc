// A fake of a relay thread's event loop, on a clock that advances by quarters of a millisecond: connections with unread records,
// read when the scheduler allows it.

import { onTestFinished, vi } from 'vitest'
import {
  ReadState,
  NO_FLUSH_CONTROL,
  SHARE_BYTES_MAX,
  type ScheduledConnection,
  type FlushControl,
} from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'
import type { RoundTimer } from '#transport/round-timer.ts'

const turn = async (): Promise<void> => await new Promise((resolve) => void setImmediate(resolve))

/** A connection with unread records, each with the time at which it arrived. */
export class FakeConnection implements ScheduledConnection {
  readonly readState = Object.assign(new ReadState(), { isStranger: false })
  readonly #loop: FakeLoop
  /** Records before `#readCount` were read: to shift each off a long array is slow. */
  #records: { sinceMs: number; bytes: number }[] = []
  #readCount = 0
  /** How long each record was unread. */
  readonly delaysMs: number[] = []
  /** When it was polled, or read by an event. */
  readonly readsMs: number[] = []
  /** It can only be read by events. */
  isEnded = false
  onRead: (bytes: number) => void = () => undefined

  constructor(loop: FakeLoop) {
    this.#loop = loop
  }

  get reads(): number {
    return this.readsMs.length
  }

  get unreadRecords(): number {
    return this.#records.length - this.#readCount
  }

  arrive(bytes: number): void {
    this.#records.push({ sinceMs: this.#loop.nowMs, bytes })
  }

  /** A read event of the loop, if there is something to read and the scheduler wants events. */
  onReadable(): void {
    if (this.unreadRecords > 0 && this.readState.wantsReadEvents) this.readsMs.push(this.#loop.nowMs)
    while (this.unreadRecords > 0 && this.readState.wantsReadEvents) {
      this.#read()
      this.#loop.busyMs += this.#loop.recordMs
    }
  }

  applyReadState(): void {}

  poll(): number {
    this.readsMs.push(this.#loop.nowMs)
    if (this.isEnded) return -1
    let byteCount = 0
    while (this.unreadRecords > 0 && byteCount < SHARE_BYTES_MAX) {
      byteCount += this.#read()
      this.#loop.busyMs += this.#loop.recordMs / CHEAPER_POLLED
    }
    return Math.min(byteCount, SHARE_BYTES_MAX)
  }

  #read(): number {
    const record = this.#records[this.#readCount]
    if (record === undefined) return 0
    if (++this.#readCount === this.#records.length) {
      this.#records = []
      this.#readCount = 0
    }
    this.delaysMs.push(this.#loop.nowMs - record.sinceMs)
    this.onRead(record.bytes)
    this.#loop.scheduler.onRead(this, record.bytes)
    return record.bytes
  }
}

/** A timer of a quarter of a millisecond, on the clock of the loop. */
class FakeTimer implements RoundTimer {
  readonly intervalMs = 1 / STEPS_PER_MS
  readonly #loop: FakeLoop
  #due: { ms: number; callback: () => void } | undefined = undefined

  constructor(loop: FakeLoop) {
    this.#loop = loop
  }

  after(ms: number, callback: () => void): void {
    this.#due = { ms: this.#loop.nowMs + ms, callback }
  }

  fire(): void {
    if (this.#due === undefined || this.#due.ms > this.#loop.nowMs) return
    const { callback } = this.#due
    this.#due = undefined
    callback()
  }
}

/** What the remote of a connection sends. */
export interface Rate {
  readonly recordsPerMs: number
  readonly recordBytes: number
}

const STEPS_PER_MS = 4
/** A turn of the loop takes some microseconds. */
const TURNS_PER_STEP = 4
const SWEEP_MS = 60
const RECORD_MS = 0.014
/** A polled record costs so much less. */
const CHEAPER_POLLED = 3

export class FakeLoop {
  nowMs = 0
  /** For how long the loop has not waited. */
  busyMs = 0
  /** The cost of a record that is read on its own. */
  recordMs = RECORD_MS
  readonly scheduler: ReadScheduler
  readonly connections: FakeConnection[] = []

  readonly #threads: number
  #timer: FakeTimer | undefined = undefined

  constructor(flushControl: FlushControl = NO_FLUSH_CONTROL, threads = 1) {
    this.scheduler = new ReadScheduler(
      () => this.nowMs,
      () => this.busyMs,
      flushControl,
    )
    this.#threads = threads
    // Rounds that follow each other at once would go on, and set timers of the next test.
    onTestFinished(() => this.connections.forEach((connection) => void (connection.isEnded = true)))
  }

  /** Poll rounds of a quarter of a millisecond from now on. */
  useShortRounds(): void {
    this.#timer = new FakeTimer(this)
    this.scheduler.useTimer(this.#timer)
  }

  connect(): FakeConnection {
    const connection = new FakeConnection(this)
    this.connections.push(connection)
    return connection
  }

  /** Runs for so long, with remotes that send at these rates. */
  async run(ms: number, rates: Map<FakeConnection, Rate>): Promise<void> {
    const owed = new Map<FakeConnection, number>(
      [...rates.keys()].map((connection, at) => [connection, at / rates.size]),
    )
    for (let step = 0; step < ms * STEPS_PER_MS; step++) {
      for (const [connection, { recordsPerMs, recordBytes }] of rates) {
        let due = (owed.get(connection) ?? 0) + recordsPerMs / STEPS_PER_MS
        for (; due >= 1; due--) connection.arrive(recordBytes)
        owed.set(connection, due)
      }
      for (let turns = 0; turns < TURNS_PER_STEP; turns++) {
        for (const connection of this.connections) connection.onReadable()
        await turn()
      }
      this.nowMs += 1 / STEPS_PER_MS
      this.#timer?.fire()
      if (Number.isInteger(this.nowMs)) vi.advanceTimersByTime(1)
      if (this.nowMs % SWEEP_MS === 0) this.scheduler.sweep(this.#threads)
    }
  }

  /** Runs so many connections at the same rate, twice. Records the second time alone, when the scheduler has adapted. */
  async runMany(count: number, rate: Rate): Promise<FakeConnection[]> {
    const connections = Array.from({ length: count }, () => this.connect())
    const rates = new Map(connections.map((connection) => [connection, rate]))
    await this.run(240, rates)
    for (const connection of connections) {
      connection.readsMs.length = 0
      connection.delaysMs.length = 0
    }
    await this.run(240, rates)
    return connections
  }
}
