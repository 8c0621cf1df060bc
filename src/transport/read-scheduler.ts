// The read scheduler of a relay thread: how much of a connection is read, and when. One turn of the event loop reads a limited
// share of each connection. On a busy thread, high-rate connections are polled about once a millisecond, so that one wake-up,
// read, write and turn carry several packets (docs/decisions/0007). Low-rate connections are read at once. Polling applies only to
// high-rate connections on a busy thread, and to connections whose sender lets packets wait anyway. How polling works is
// poll-rounds.ts, the state of each connection is read-state.ts, and who is read one after another reading-queue.ts.

import { PollRounds } from './poll-rounds.ts'
import type { RoundTimer } from './round-timer.ts'
import { ReadingQueue } from './reading-queue.ts'
import { SHARE_BYTES_MAX, type FlushControl, type ReadState, type ScheduledConnection } from './read-state.ts'

/** A full TLS record: a turn for less would not pay. */
const SHARE_BYTES_MIN = 16_384
/** Bytes that a turn reads of all connections together: two milliseconds' work. No connection waits longer for its next turn. */
const TURN_BYTES = 1_048_576
/** Most that is read before it is written: it and its copies stay in a core's own cache. */
const FLUSH_BYTES = 262_144
/** High rate: two packets a millisecond, or 4 Mbit/s in larger records. Calls and keystrokes are far below. */
const RATE_WINDOW_MS = 16
const HIGH_RATE_READS_MIN = 32
const HIGH_RATE_BYTES_MIN = 8_192
/** With fewer, most polls would find nothing, and a connection is polled less often. */
const SLOW_RECORDS_PER_MS = 1
/** Records of several packets: their sender lets packets wait for each other, too. */
const BULK_RECORD_BYTES = 2_048
/**
 * What a remote may send before its login without waiting for others that do the same: 200 requests, or forty logins. Hundreds of
 * logins of the largest size would keep a thread busy for tens of milliseconds otherwise.
 */
const STRANGER_BYTES_MAX = 65_536
/** On a thread with time, a sparse connection brings two records per turn at most. */
const SPARSE_READS_MAX = 2
/**
 * A thread whose event loop is busy for more than this share of its time counts as busy: most packets find it busy. Below that,
 * polling would make packets late: between polls the thread is asleep, where it would be awake without polling. Measured in
 * time and not in records, since a record that is read on its own takes 14 µs on one machine and 36 µs on another.
 */
const BUSY_SHARE = 0.6
/** Polling makes the thread less busy. It ends with less than this share of the bytes that kept the thread busy without it … */
const BUSY_BYTES_SHARE = 7 / 8
/** … or when the thread has next to nothing to do: something other than packets had kept it busy. */
const IDLE_SHARE = 0.15
/** With fewer records per millisecond, polling costs more than it saves. */
const POLLING_RECORDS_PER_MS_MIN = 2

export class ReadScheduler {
  readonly #now: () => number
  readonly #busyMs: () => number
  readonly flushControl: FlushControl
  readonly #pollRounds: PollRounds
  readonly #queue = new ReadingQueue()
  /** Connections to review at the end of this turn. */
  #toReview: ScheduledConnection[] = []
  #shareBytes = SHARE_BYTES_MAX
  /** Time of the last sweep, since which records and bytes are counted. */
  #sweptMs = 0
  #sweptBusyMs = 0
  #records = 0
  #byteCount = 0
  #isBusy = false
  /** Bytes per millisecond; with fewer the thread would not be busy without polling. */
  #busyBytesPerMs = 0
  #isPollingWorthwhile = false
  /** Read since the last `flushSoFar`. Most of them have been written since then. */
  #unwrittenBytes = 0

  /**
   * @param now monotonic milliseconds
   * @param busyMs for how many milliseconds the thread's event loop has not waited so far
   */
  constructor(now: () => number, busyMs: () => number, flushControl: FlushControl) {
    this.#now = now
    this.#busyMs = busyMs
    this.flushControl = flushControl
    this.#pollRounds = new PollRounds(flushControl, now, (readState, byteCount) =>
      this.#shouldKeepPolling(readState, byteCount),
    )
  }

  /** What begins each poll round from now on. */
  useTimer(timer: RoundTimer): void {
    this.#pollRounds.timer = timer
  }

  /**
   * Measures the records read since the last call and how busy the thread was. To be called some ten times a second.
   * @param threads of the relay: as many threads are busy together with a load that would keep one of them busy alone
   */
  sweep(threads = 1): void {
    const [nowMs, busyMs] = [this.#now(), this.#busyMs()]
    const elapsedMs = nowMs - this.#sweptMs
    const busyShare = (threads * (busyMs - this.#sweptBusyMs)) / elapsedMs
    const bytesPerMs = this.#byteCount / elapsedMs
    this.#isPollingWorthwhile = this.#records > POLLING_RECORDS_PER_MS_MIN * elapsedMs
    if (this.#isBusy) {
      this.#isBusy = bytesPerMs > BUSY_BYTES_SHARE * this.#busyBytesPerMs && busyShare > IDLE_SHARE
    } else if (busyShare > BUSY_SHARE) {
      this.#isBusy = true
      this.#busyBytesPerMs = (bytesPerMs * BUSY_SHARE) / busyShare
    }
    this.#sweptMs = nowMs
    this.#sweptBusyMs = busyMs
    this.#records = 0
    this.#byteCount = 0
  }

  /** So many bytes of `connection` were read, in so many records. */
  onRead(connection: ScheduledConnection, byteCount: number, records = 1): void {
    const { readState } = connection
    this.#records += records
    this.#byteCount += byteCount
    readState.turnReads += records
    if (readState.share !== undefined) readState.share.creditBytes -= byteCount
    this.#unwrittenBytes += byteCount
    if (this.#unwrittenBytes >= FLUSH_BYTES) {
      this.#unwrittenBytes = 0
      this.flushControl.flushSoFar()
    }
    if (readState.isPolled) return
    if (isReadInTurn(readState, byteCount)) return this.#queue.add(connection)
    // A sibling's link is not one who waits: it brings packets in bulk, and no less often than there are rounds.
    if (!readState.isTrunk) this.#pollRounds.onOtherRead()
    readState.turnBytes += byteCount
    const isShareUsed = readState.turnBytes >= this.#shareBytes
    // On a thread with time, a connection with a single read is not worth a review.
    const isWorthReview =
      isShareUsed || this.#isBusy || readState.turnReads > 1 || byteCount >= BULK_RECORD_BYTES
    if (isWorthReview && !readState.isToBeReviewed) this.#reviewLater(connection)
    if (!isShareUsed || readState.isShareUsed) return
    readState.isShareUsed = true
    connection.applyReadState()
  }

  #reviewLater(connection: ScheduledConnection): void {
    if (this.#toReview.length === 0) setImmediate(this.#endTurn)
    connection.readState.isToBeReviewed = true
    this.#toReview.push(connection)
  }

  readonly #endTurn = (): void => {
    const connections = this.#toReview
    this.#toReview = []
    this.#shareBytes = shareOf(connections.length)
    const nowMs = this.#isPollingWorthwhile ? this.#now() : 0
    for (const connection of connections) {
      const { readState } = connection
      if (this.#isPollingWorthwhile) measureRate(readState, nowMs)
      readState.isSparse = readState.turnReads <= SPARSE_READS_MAX
      readState.isToBeReviewed = false
      readState.turnReads = 0
      readState.turnBytes = 0
      const wasShareUsed = readState.isShareUsed
      readState.isShareUsed = false
      // However little a busy thread reads of it, more than a turn's share has piled up, and there may be more.
      if (wasShareUsed) readState.isHighRate = true
      if (this.#shouldPoll(readState)) this.#pollRounds.add(connection)
      else if (wasShareUsed) connection.applyReadState()
    }
  }

  #shouldKeepPolling(readState: ReadState, byteCount: number): boolean {
    readState.turnBytes = byteCount
    measureRate(readState, this.#now())
    readState.turnReads = 0
    readState.turnBytes = 0
    return this.#shouldPoll(readState)
  }

  #shouldPoll(readState: ReadState): boolean {
    if (!readState.isHighRate || readState.isInTurn) return false
    // Bulk records of a sibling hold packets of several clients, and have waited for one poll round at the sibling already.
    if (readState.isTrunk) return this.#isBusy && !readState.isBulk
    return this.#isBusy || (readState.isBulk && this.#isPollingWorthwhile)
  }
}

/** Whether the connection is one of many that wait for each other after each read. */
function isReadInTurn(readState: ReadState, byteCount: number): boolean {
  if (!readState.isStranger) return readState.isInTurn
  readState.strangerBytes += byteCount
  return readState.strangerBytes > STRANGER_BYTES_MAX
}

/** The share of each of so many connections in a turn. */
function shareOf(connections: number): number {
  return Math.min(SHARE_BYTES_MAX, Math.max(SHARE_BYTES_MIN, Math.floor(TURN_BYTES / connections)))
}

/** Adds this turn to the connection's window; judges its rate when the window is complete. */
function measureRate(readState: ReadState, nowMs: number): void {
  const elapsedMs = nowMs - readState.windowFromMs
  if (elapsedMs >= RATE_WINDOW_MS) {
    const { windowReads, windowBytes } = readState
    // After a delay of the thread, the bytes that have piled up arrived during more than one window.
    const windows = elapsedMs / RATE_WINDOW_MS
    // A connection that is polled already stays so with half the rate: no connection goes back and forth all the time.
    const factor = readState.isPolled ? windows / 2 : windows
    const isLarge = windowBytes >= HIGH_RATE_BYTES_MIN * factor
    readState.isBulk = isLarge && windowBytes >= BULK_RECORD_BYTES * windowReads
    readState.isHighRate = isLarge || windowReads >= HIGH_RATE_READS_MIN * factor
    readState.isSlow = windowReads < elapsedMs * SLOW_RECORDS_PER_MS
    readState.windowFromMs = nowMs
    readState.windowReads = 0
    readState.windowBytes = 0
  }
  readState.windowReads += readState.turnReads
  readState.windowBytes += readState.turnBytes
}
