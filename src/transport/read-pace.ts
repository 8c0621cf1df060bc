// What is read of whom, and when. One turn of a thread's loop reads at most so much of each connection; and
// on a crowded thread, connections in full flow are not waited for: they are looked at once a millisecond, so
// that a wake-up, a read, a write and a turn carry several packets (docs/decisions/0007). Who sends little is
// never kept waiting, and on a thread with time nobody is. What is done in beats is in beats.ts, what is known
// of a connection in flow.ts.

import { BEAT_MS, Beats } from './beats.ts'
import { SHARE_BYTES_MAX, type Flow, type Paced, type Turns } from './flow.ts'

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
/** Turns of a thread with time are counted by twos. */
const SPARSE_READS_MAX = 2
/**
 * Records per millisecond. Each that is read on its own costs 15 µs, so a thread is half busy with this many. Below,
 * a packet that finds the thread asleep, as beats leave it, would wait longer than one that comes to a wakeful thread.
 */
const CROWD_FROM = 48
const CROWD_UNTIL = 42
/** With fewer than this the beat would cost more than is saved. */
const BULK_FROM = 2

export class ReadPace {
  readonly #now: () => number
  readonly turns: Turns
  readonly #beats: Beats
  #touched: Paced[] = []
  #shareBytes = SHARE_BYTES_MAX
  /** Since `#countedMs`. */
  #records = 0
  #countedMs = 0
  #isCrowded = false
  #isWorthBeats = false
  /** Read since `flushSoFar`; most of it has been written since then. */
  #unwrittenBytes = 0

  /** @param now monotonic milliseconds */
  constructor(now: () => number, turns: Turns) {
    this.#now = now
    this.turns = turns
    this.#beats = new Beats(turns, (flow, byteCount) => this.#mayStayInBeat(flow, byteCount))
  }

  /**
   * Looks at how many records came since the last call. To be called some ten times a second.
   * @param threads the relay's: what would crowd one thread alone crowds several together
   */
  sweep(threads = 1): void {
    const nowMs = this.#now()
    const recordsPerMs = this.#records / (nowMs - this.#countedMs)
    this.#records = 0
    this.#countedMs = nowMs
    this.#isCrowded = recordsPerMs * threads > (this.#isCrowded ? CROWD_UNTIL : CROWD_FROM)
    this.#isWorthBeats = recordsPerMs > BULK_FROM
  }

  /** That many bytes of `connection` have been read. */
  read(connection: Paced, byteCount: number): void {
    const { flow } = connection
    this.#records++
    flow.turnReads++
    this.#unwrittenBytes += byteCount
    if (this.#unwrittenBytes >= FLUSH_BYTES) {
      this.#unwrittenBytes = 0
      this.turns.flushSoFar()
    }
    if (flow.isInBeat) return
    flow.turnBytes += byteCount
    const isShareUsed = flow.turnBytes >= this.#shareBytes
    // On a thread with time single reads are not worth looking at each.
    const isWorthALook =
      isShareUsed || this.#isCrowded || flow.turnReads > 1 || byteCount >= BULK_RECORD_BYTES
    if (isWorthALook && !flow.isTouched) this.#touch(connection)
    if (!isShareUsed || flow.isResting) return
    flow.isResting = true
    connection.readAsWanted()
  }

  #touch(connection: Paced): void {
    if (this.#touched.length === 0) setImmediate(this.#endTurn)
    connection.flow.isTouched = true
    this.#touched.push(connection)
  }

  readonly #endTurn = (): void => {
    const touched = this.#touched
    this.#touched = []
    this.#shareBytes = shareOf(touched.length)
    const nowMs = this.#isWorthBeats ? this.#now() : 0
    for (const connection of touched) {
      const { flow } = connection
      if (this.#isWorthBeats) count(flow, nowMs)
      flow.isSparse = flow.turnReads <= SPARSE_READS_MAX
      flow.isTouched = false
      flow.turnReads = 0
      flow.turnBytes = 0
      const isResting = flow.isResting
      // There is more, or there may be.
      flow.isResting = false
      // Slow as it may be read on a thread with too much to do, more than a turn's share has piled up.
      if (isResting) flow.isFull = true
      if (this.#wantsBeat(flow)) this.#beats.take(connection)
      else if (isResting) connection.readAsWanted()
    }
  }

  #mayStayInBeat(flow: Flow, byteCount: number): boolean {
    flow.turnBytes = byteCount
    count(flow, this.#now())
    flow.turnReads = 0
    flow.turnBytes = 0
    return this.#wantsBeat(flow)
  }

  #wantsBeat(flow: Flow): boolean {
    return flow.isFull && (this.#isCrowded || (flow.isBulk && this.#isWorthBeats))
  }
}

/** What each of so many connections may bring in a turn. */
function shareOf(connections: number): number {
  return Math.min(SHARE_BYTES_MAX, Math.max(SHARE_BYTES_MIN, Math.floor(TURN_BYTES / connections)))
}

/** Takes this turn into account. */
function count(flow: Flow, nowMs: number): void {
  const windowMs = nowMs - flow.windowFromMs
  if (windowMs >= FLOW_WINDOW_MS) {
    const { windowReads, windowBytes } = flow
    // What has piled up while the thread was held up came in more time than a window.
    const windows = windowMs / FLOW_WINDOW_MS
    // Who is looked at in beats already stays with half as much, so that nobody comes and goes all the time.
    const least = flow.isInBeat ? windows / 2 : windows
    const isLarge = windowBytes >= FLOW_BYTES_MIN * least
    flow.isBulk = isLarge && !flow.isTrunk && windowBytes >= BULK_RECORD_BYTES * windowReads
    flow.isFull = isLarge || windowReads >= FLOW_READS_MIN * least
    flow.isSlow = windowReads < windowMs / BEAT_MS
    flow.windowFromMs = nowMs
    flow.windowReads = 0
    flow.windowBytes = 0
  }
  flow.windowReads += flow.turnReads
  flow.windowBytes += flow.turnBytes
}
