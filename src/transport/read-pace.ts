// What is read of whom, and when. One turn of a thread's loop reads at most so much of each connection; and
// on a crowded thread, connections in full flow are not waited for: they are looked at once a millisecond, so
// that a wake-up, a read, a write and a turn carry several packets (docs/decisions/0007). Who sends little is
// never kept waiting, and on a thread with time nobody is.

/**
 * What is read of one connection in a turn. A turn ends by writing, so reading more than is written in a turn would
 * only fill outboxes and be dropped there; unread bytes wait in the system, which slows their sender.
 */
export const SHARE_BYTES_MAX = 65_536
/** A full TLS record: with less a turn of its own would not pay. */
const SHARE_BYTES_MIN = 16_384
/** What a turn reads of all together: two milliseconds' work, so that nobody waits longer for the next one. */
const TURN_BYTES = 1_048_576
/** The shortest time that the loop's timers know, and unnoticed by a flow of this size. */
const BEAT_MS = 1
/** Whose beat it is is looked at in groups, a turn for each, so that who sends little waits for one group and not for all. */
const GROUP_MIN = 2
const TURNS_PER_BEAT_MAX = 8
/** In full flow: two packets a millisecond, or 4 Mbit/s in larger records. Calls and keystrokes are far below. */
const FLOW_WINDOW_MS = 16
const FLOW_READS_MIN = 32
const FLOW_BYTES_MIN = 8_192
/** Records of several packets: their sender lets packets wait for each other, too. */
const BULK_RECORD_BYTES = 2_048
/** Who brings less than a record in a beat is looked at every second or third. */
const BEATS_BETWEEN_MAX = 3
/** In so many beats one in full flow brings something, or is none any more. */
const EMPTY_BEATS_MAX = 6
/** Turns of a thread with time are counted by twos. */
const SPARSE_READS_MAX = 2
/**
 * Records per millisecond. Each that is read on its own costs 15 µs, so a thread is half busy with this many. Below,
 * a packet that finds the thread asleep, as beats leave it, would wait longer than one that comes to a wakeful thread.
 */
const CROWD_FROM = 32
const CROWD_UNTIL = 24
/** With fewer than this the beat would cost more than is saved. */
const BULK_FROM = 2

/** A connection as the pace sees it. */
export interface Paced {
  readonly flow: Flow
  /** Whether its bytes are waited for (`Flow.isAwaited`) has changed. */
  readAsWanted(): void
  /**
   * Reads at once what is there, up to SHARE_BYTES_MAX. Returns how many bytes that were; 0 if nothing is there yet,
   * and less if they can only be waited for.
   */
  pull(): number
}

/** Who writes when something has been read; `release` writes at once what came since `hold`. */
export interface Turns {
  hold(): void
  release(): void
}

/** Nobody writes, or at once. */
export const NO_TURNS: Turns = { hold: () => undefined, release: () => undefined }

/** What the pace remembers of one connection. */
export class Flow {
  turnBytes = 0
  turnReads = 0
  /** It brings no more than a record or two in a turn, so that nothing is gained by waiting for the turn's end. */
  isSparse = true
  /** The turn's end will look at it. */
  isTouched = false
  /** It has had its share of this turn. */
  isResting = false
  /** It is looked at in beats. */
  isInBeat = false
  /** Its records have several packets. */
  isBulk = false
  isFull = false
  windowReads = 0
  windowBytes = 0
  windowFromMs = 0
  /** Beats until it is looked at, and between. */
  beatsLeft = 0
  beatsBetween = 1
  emptyBeats = 0

  /** What is read now is all that it brings in this turn, as far as one can tell. */
  get isAlone(): boolean {
    return this.isSparse && this.turnReads === 0 && !this.isInBeat
  }

  /** The system shall tell when there is something to be read. */
  get isAwaited(): boolean {
    return !this.isResting && !this.isInBeat
  }
}

export class ReadPace {
  readonly #now: () => number
  readonly turns: Turns
  #touched: Paced[] = []
  #shareBytes = SHARE_BYTES_MAX
  /** Those who are looked at in beats, and those of them whom this beat has still to look at. */
  readonly #inBeat = new Set<Paced>()
  #queue: Paced[] = []
  #groupSize = GROUP_MIN
  #timer: NodeJS.Timeout | undefined = undefined
  /** Since `#countedMs`. */
  #records = 0
  #countedMs = 0
  #isCrowded = false
  #isWorthBeats = false

  /** @param now monotonic milliseconds */
  constructor(now: () => number, turns: Turns) {
    this.#now = now
    this.turns = turns
  }

  /** Looks at how many records came since the last call. To be called some ten times a second. */
  sweep(): void {
    const nowMs = this.#now()
    const recordsPerMs = this.#records / (nowMs - this.#countedMs)
    this.#records = 0
    this.#countedMs = nowMs
    this.#isCrowded = recordsPerMs > (this.#isCrowded ? CROWD_UNTIL : CROWD_FROM)
    this.#isWorthBeats = recordsPerMs > BULK_FROM
  }

  /** That many bytes of `connection` have been read. */
  read(connection: Paced, byteCount: number): void {
    const { flow } = connection
    this.#records++
    flow.turnReads++
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
      if (this.#wantsBeat(flow)) this.#enterBeat(connection)
      else if (isResting) connection.readAsWanted()
    }
  }

  // ── beats ──

  #wantsBeat(flow: Flow): boolean {
    return flow.isFull && (this.#isCrowded || (flow.isBulk && this.#isWorthBeats))
  }

  #enterBeat(connection: Paced): void {
    const { flow } = connection
    flow.isInBeat = true
    flow.beatsBetween = 1
    flow.beatsLeft = 1
    flow.emptyBeats = 0
    connection.readAsWanted()
    this.#inBeat.add(connection)
    this.#timer ??= setInterval(this.#onBeat, BEAT_MS)
  }

  #leaveBeat(connection: Paced): void {
    this.#inBeat.delete(connection)
    connection.flow.isInBeat = false
    connection.flow.isFull = false
    connection.readAsWanted()
  }

  readonly #onBeat = (): void => {
    if (this.#inBeat.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    // Who is still in the queue of an earlier beat, because it brings more than can be read, stays where it is.
    const isIdle = this.#queue.length === 0
    for (const connection of this.#inBeat) {
      if (--connection.flow.beatsLeft === 0) this.#queue.push(connection)
    }
    this.#groupSize = Math.max(GROUP_MIN, Math.ceil(this.#queue.length / TURNS_PER_BEAT_MAX))
    if (isIdle && this.#queue.length > 0) this.#nextGroup()
  }

  readonly #nextGroup = (): void => {
    this.turns.hold()
    for (const connection of this.#queue.splice(0, this.#groupSize)) this.#pull(connection)
    this.turns.release()
    if (this.#queue.length > 0) setImmediate(this.#nextGroup)
  }

  #pull(connection: Paced): void {
    const { flow } = connection
    const byteCount = connection.pull()
    const { turnReads } = flow
    flow.turnReads = 0
    // It had its share, and there is more.
    if (byteCount === SHARE_BYTES_MAX) return void this.#queue.push(connection)
    flow.emptyBeats = byteCount === 0 ? flow.emptyBeats + 1 : 0
    if (byteCount < 0 || flow.emptyBeats > EMPTY_BEATS_MAX || !this.#wantsBeat(flow))
      return this.#leaveBeat(connection)
    if (byteCount === 0) flow.beatsBetween = Math.min(BEATS_BETWEEN_MAX, flow.beatsBetween + 1)
    else if (turnReads > 1) flow.beatsBetween = 1
    flow.beatsLeft = flow.beatsBetween
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
    const isLarge = windowBytes >= FLOW_BYTES_MIN * windows
    flow.isBulk = isLarge && windowBytes >= BULK_RECORD_BYTES * windowReads
    flow.isFull = isLarge || windowReads >= FLOW_READS_MIN * windows
    flow.windowFromMs = nowMs
    flow.windowReads = 0
    flow.windowBytes = 0
  }
  flow.windowReads += flow.turnReads
  flow.windowBytes += flow.turnBytes
}
