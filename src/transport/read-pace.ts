// How much is read of whom, and when. One turn of a thread's loop reads at most so much of each connection;
// and while the thread is busy, connections in full flow are read in beats, so that a read, a write and a
// turn carry several packets. Who sends little is never kept waiting, and on a thread with time nobody is.

/**
 * What is read of one connection in a turn. A turn ends by writing, so reading more than is written in a turn would
 * only fill outboxes and be dropped there; unread bytes wait in the system, which slows their sender.
 */
const SHARE_BYTES_MAX = 65_536
/** A full TLS record: with less a turn of its own would not pay. */
const SHARE_BYTES_MIN = 16_384
/** What a turn reads of all together: two milliseconds' work, so that nobody waits longer for the next one. */
const TURN_BYTES = 1_048_576
/** The shortest time that the loop's timers know, and unnoticed by a flow of this size. */
const BEAT_MS = 1
/** Whose beat it is goes on in groups, a turn for each, so that who sends little waits for one group and not for all. */
const BEAT_GROUP_MIN = 2
const BEAT_TURNS_MAX = 8
/** In full flow: two packets a millisecond, or 4 Mbit/s in larger records. Calls and keystrokes are far below. */
const FLOW_WINDOW_MS = 16
const FLOW_READS_MIN = 32
const FLOW_BYTES_MIN = 8_192
/** Turns of a thread with time are counted by twos. */
const SPARSE_READS_MAX = 2
/** A thread that works less than this has nothing to save. With beats it works a third of what it would without. */
const BUSY_FROM = 0.12
const BUSY_UNTIL = 0.04

/** A connection as the pace sees it. */
export interface Paced {
  readonly flow: Flow
  /** Whether it rests has changed. */
  readAsWanted(): void
}

/** What the pace remembers of one connection. */
export class Flow {
  turnBytes = 0
  turnReads = 0
  /** It brings no more than a record or two in a turn, so that nothing is gained by waiting for the turn's end. */
  isSparse = true
  /** The turn's end will look at it. */
  isTouched = false
  isResting = false
  windowReads = 0
  windowBytes = 0
  windowFromMs = 0
  isFull = false
}

export class ReadPace {
  readonly #now: () => number
  #touched: Paced[] = []
  #shareBytes = SHARE_BYTES_MAX
  /** Those who rest until the next beat, and those whose beat it is. */
  #waiting: Paced[] = []
  #beating: Paced[] = []
  #groupSize = BEAT_GROUP_MIN
  #isBusy = false

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Says how much of its time this thread worked lately, 0 to 1. */
  note(utilization: number): void {
    this.#isBusy = utilization > (this.#isBusy ? BUSY_UNTIL : BUSY_FROM)
  }

  /** That many bytes of `connection` have been read. */
  read(connection: Paced, byteCount: number): void {
    const { flow } = connection
    flow.turnReads++
    flow.turnBytes += byteCount
    const isShareUsed = flow.turnBytes >= this.#shareBytes
    // On a thread with time single reads are not worth looking at each.
    if (!flow.isTouched && (isShareUsed || this.#isBusy || flow.turnReads > 1)) this.#touch(connection)
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
    const nowMs = this.#isBusy ? this.#now() : 0
    for (const connection of touched) {
      const { flow } = connection
      const isInFullFlow = this.#isBusy && isFull(flow, nowMs)
      flow.isSparse = flow.turnReads <= SPARSE_READS_MAX
      flow.isTouched = false
      flow.turnReads = 0
      flow.turnBytes = 0
      if (flow.isResting) {
        // There is more, and no need to wait for it.
        flow.isResting = false
        connection.readAsWanted()
      } else if (isInFullFlow) {
        this.#restUntilBeat(connection)
      }
    }
  }

  #restUntilBeat(connection: Paced): void {
    connection.flow.isResting = true
    connection.readAsWanted()
    if (this.#waiting.length === 0) setTimeout(this.#onBeat, BEAT_MS)
    this.#waiting.push(connection)
  }

  readonly #onBeat = (): void => {
    if (this.#beating.length === 0) setImmediate(this.#nextGroup)
    this.#beating.push(...this.#waiting)
    this.#waiting = []
    this.#groupSize = Math.max(BEAT_GROUP_MIN, Math.ceil(this.#beating.length / BEAT_TURNS_MAX))
  }

  readonly #nextGroup = (): void => {
    for (const connection of this.#beating.splice(0, this.#groupSize)) {
      connection.flow.isResting = false
      connection.readAsWanted()
    }
    if (this.#beating.length > 0) setImmediate(this.#nextGroup)
  }
}

/** What each of so many connections may bring in a turn. */
function shareOf(connections: number): number {
  return Math.min(SHARE_BYTES_MAX, Math.max(SHARE_BYTES_MIN, Math.floor(TURN_BYTES / connections)))
}

/** Takes this turn into account. */
function isFull(flow: Flow, nowMs: number): boolean {
  if (nowMs - flow.windowFromMs >= FLOW_WINDOW_MS) {
    flow.isFull = flow.windowReads >= FLOW_READS_MIN || flow.windowBytes >= FLOW_BYTES_MIN
    flow.windowFromMs = nowMs
    flow.windowReads = 0
    flow.windowBytes = 0
  }
  flow.windowReads += flow.turnReads
  flow.windowBytes += flow.turnBytes
  return flow.isFull
}
