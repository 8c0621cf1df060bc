// How much is read of whom, and when. One turn of a thread's loop reads at most so much of each connection;
// and while the thread is busy, connections in full flow are read in beats, so that a read, a write and a
// turn carry several packets. Who sends little is never kept waiting, and on a thread with time nobody is.

/**
 * What is read of one connection in a turn. A turn ends by writing, so reading more than is written in a turn would
 * only fill outboxes and be dropped there; unread bytes wait in the system, which slows their sender.
 */
const TURN_BYTES_MAX = 65_536
/** The shortest time that the loop's timers know. Two packets in a beat halve the cost of each; ten flows give six. */
const BEAT_MS = 1
/** In full flow: two packets a millisecond at least, in records or in bytes; else a beat has nothing to gather. */
const FLOW_WINDOW_MS = 16
const FLOW_READS_MIN = 32
const FLOW_BYTES_MIN = 32_768
/** Beats begin when half of a thread's time is worked, and end only when they would not begin again without them. */
const BUSY_FROM = 0.5
const BUSY_UNTIL = 0.15

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
  isResting = false
  windowReads = 0
  windowBytes = 0
  windowFromMs = 0
  isFull = false
}

export class ReadPace {
  readonly #now: () => number
  #touched: Paced[] = []
  #waiting: Paced[] = []
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
    if (flow.turnReads === 0) this.#touch(connection)
    flow.turnReads++
    flow.turnBytes += byteCount
    if (flow.turnBytes < TURN_BYTES_MAX || flow.isResting) return
    flow.isResting = true
    connection.readAsWanted()
  }

  #touch(connection: Paced): void {
    if (this.#touched.length === 0) setImmediate(this.#endTurn)
    this.#touched.push(connection)
  }

  readonly #endTurn = (): void => {
    const touched = this.#touched
    this.#touched = []
    const nowMs = this.#isBusy ? this.#now() : 0
    for (const connection of touched) {
      const { flow } = connection
      const isInFullFlow = this.#isBusy && isFull(flow, nowMs)
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
    const waiting = this.#waiting
    this.#waiting = []
    for (const connection of waiting) {
      connection.flow.isResting = false
      connection.readAsWanted()
    }
  }
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
