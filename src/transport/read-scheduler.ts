// What is read of whom, and when. One turn of a thread's loop reads at most so much of each connection; and
// on a crowded thread, connections in full flow are not waited for: they are looked at once a millisecond, so
// that a wake-up, a read, a write and a turn carry several packets (docs/decisions/0007). Who sends little is
// never kept waiting, and on a thread with time nobody is. What is done in beats is in poll-rounds.ts, what is known
// of a connection in read-state.ts.

import { POLL_INTERVAL_MS, PollRounds } from './poll-rounds.ts'
import { SHARE_BYTES_MAX, type ReadState, type ScheduledConnection, type WriteTurns } from './read-state.ts'

/** A full TLS record: with less a turn of its own would not pay. */
const SHARE_BYTES_MIN = 16_384
/** What a turn reads of all together: two milliseconds' work, so that nobody waits longer for the next one. */
const TURN_BYTES = 1_048_576
/** What is read at most before it is written: it and its copies stay in a core's own cache. */
const FLUSH_BYTES = 262_144
/** In full flow: two packets a millisecond, or 4 Mbit/s in larger records. Calls and keystrokes are far below. */
const FLOW_WINDOW_MS = 16
const FLOW_READS_MIN = 32
const FLOW_BYTES_MIN = 8_192
/** Records of several packets: their sender lets packets wait for each other, too. */
const BULK_RECORD_BYTES = 2_048
/** WriteTurns of a thread with time are counted by twos. */
const SPARSE_READS_MAX = 2
/**
 * A thread whose loop is busy for more than this share of its time is crowded: what comes next finds it busy more often than
 * not. Below, what finds it asleep, as beats leave it, would be later than what comes to a wakeful thread. Told by time
 * and not by records, since one that is read on its own takes 14 µs on one machine and 36 on another.
 */
const CROWDED_SHARE = 0.6
/** In beats it has more time. They end with less than this share of the bytes that would crowd it without them … */
const RELIEVED_BYTES_SHARE = 7 / 8
/** … or when it has next to nothing to do: something else had kept it busy. */
const RELIEVED_SHARE = 0.15
/** Records per millisecond. With fewer the beat would cost more than is saved. */
const BULK_FROM = 2

export class ReadScheduler {
  readonly #now: () => number
  readonly #busyMs: () => number
  readonly turns: WriteTurns
  readonly #pollRounds: PollRounds
  #touched: ScheduledConnection[] = []
  #shareBytes = SHARE_BYTES_MAX
  /** Of the last sweep; what was read is counted since then. */
  #sweptMs = 0
  #sweptBusyMs = 0
  #records = 0
  #byteCount = 0
  #isCrowded = false
  /** In a millisecond; with fewer it would not be crowded. */
  #crowdBytes = 0
  #isPollingWorthwhile = false
  /** Read since `flushSoFar`; most of it has been written since then. */
  #unwrittenBytes = 0

  /**
   * @param now monotonic milliseconds
   * @param busyMs for how many of them the thread's loop has not waited so far
   */
  constructor(now: () => number, busyMs: () => number, turns: WriteTurns) {
    this.#now = now
    this.#busyMs = busyMs
    this.turns = turns
    this.#pollRounds = new PollRounds(turns, now, (readState, byteCount) =>
      this.#mayStayPolled(readState, byteCount),
    )
  }

  /**
   * Looks at what came since the last call, and what work it was. To be called some ten times a second.
   * @param threads the relay's: what would crowd one thread alone crowds several together
   */
  sweep(threads = 1): void {
    const [nowMs, busyMs] = [this.#now(), this.#busyMs()]
    const elapsedMs = nowMs - this.#sweptMs
    const busyShare = (threads * (busyMs - this.#sweptBusyMs)) / elapsedMs
    const bytesPerMs = this.#byteCount / elapsedMs
    this.#isPollingWorthwhile = this.#records > BULK_FROM * elapsedMs
    if (this.#isCrowded) {
      this.#isCrowded = bytesPerMs > RELIEVED_BYTES_SHARE * this.#crowdBytes && busyShare > RELIEVED_SHARE
    } else if (busyShare > CROWDED_SHARE) {
      this.#isCrowded = true
      this.#crowdBytes = (bytesPerMs * CROWDED_SHARE) / busyShare
    }
    this.#sweptMs = nowMs
    this.#sweptBusyMs = busyMs
    this.#records = 0
    this.#byteCount = 0
  }

  /** That many bytes of `connection` have been read. */
  read(connection: ScheduledConnection, byteCount: number): void {
    const { readState } = connection
    this.#records++
    this.#byteCount += byteCount
    readState.turnReads++
    this.#unwrittenBytes += byteCount
    if (this.#unwrittenBytes >= FLUSH_BYTES) {
      this.#unwrittenBytes = 0
      this.turns.flushSoFar()
    }
    if (readState.isPolled) return
    readState.turnBytes += byteCount
    const isShareUsed = readState.turnBytes >= this.#shareBytes
    // On a thread with time single reads are not worth looking at each.
    const isWorthALook =
      isShareUsed || this.#isCrowded || readState.turnReads > 1 || byteCount >= BULK_RECORD_BYTES
    if (isWorthALook && !readState.isTouched) this.#touch(connection)
    if (!isShareUsed || readState.isResting) return
    readState.isResting = true
    connection.readAsWanted()
  }

  #touch(connection: ScheduledConnection): void {
    if (this.#touched.length === 0) setImmediate(this.#endTurn)
    connection.readState.isTouched = true
    this.#touched.push(connection)
  }

  readonly #endTurn = (): void => {
    const touched = this.#touched
    this.#touched = []
    this.#shareBytes = shareOf(touched.length)
    const nowMs = this.#isPollingWorthwhile ? this.#now() : 0
    for (const connection of touched) {
      const { readState } = connection
      if (this.#isPollingWorthwhile) count(readState, nowMs)
      readState.isSparse = readState.turnReads <= SPARSE_READS_MAX
      readState.isTouched = false
      readState.turnReads = 0
      readState.turnBytes = 0
      const isResting = readState.isResting
      // There is more, or there may be.
      readState.isResting = false
      // Slow as it may be read on a thread with too much to do, more than a turn's share has piled up.
      if (isResting) readState.isFull = true
      if (this.#wantsPolling(readState)) this.#pollRounds.take(connection)
      else if (isResting) connection.readAsWanted()
    }
  }

  #mayStayPolled(readState: ReadState, byteCount: number): boolean {
    readState.turnBytes = byteCount
    count(readState, this.#now())
    readState.turnReads = 0
    readState.turnBytes = 0
    return this.#wantsPolling(readState)
  }

  #wantsPolling(readState: ReadState): boolean {
    if (!readState.isFull) return false
    // What the sibling has gathered has waited once, and its records are of several packets because several clients sent.
    if (readState.isTrunk) return this.#isCrowded && !readState.isBulk
    return this.#isCrowded || (readState.isBulk && this.#isPollingWorthwhile)
  }
}

/** What each of so many connections may bring in a turn. */
function shareOf(connections: number): number {
  return Math.min(SHARE_BYTES_MAX, Math.max(SHARE_BYTES_MIN, Math.floor(TURN_BYTES / connections)))
}

/** Takes this turn into account. */
function count(readState: ReadState, nowMs: number): void {
  const windowMs = nowMs - readState.windowFromMs
  if (windowMs >= FLOW_WINDOW_MS) {
    const { windowReads, windowBytes } = readState
    // What has piled up while the thread was held up came in more time than a window.
    const windows = windowMs / FLOW_WINDOW_MS
    // Who is looked at in beats already stays with half as much, so that nobody comes and goes all the time.
    const least = readState.isPolled ? windows / 2 : windows
    const isLarge = windowBytes >= FLOW_BYTES_MIN * least
    readState.isBulk = isLarge && windowBytes >= BULK_RECORD_BYTES * windowReads
    readState.isFull = isLarge || windowReads >= FLOW_READS_MIN * least
    readState.isSlow = windowReads < windowMs / POLL_INTERVAL_MS
    readState.windowFromMs = nowMs
    readState.windowReads = 0
    readState.windowBytes = 0
  }
  readState.windowReads += readState.turnReads
  readState.windowBytes += readState.turnBytes
}
