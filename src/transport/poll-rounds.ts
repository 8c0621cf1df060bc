// Connections in full flow on a crowded thread, which are not waited for but looked at once a millisecond: a
// beat. Whoever is due is looked at in a round, a few to a turn of the loop; who has more than it may bring in
// one round is looked at again in the next, at once and after everybody else. Who is to be looked at so, and for how
// long, is decided in read-scheduler.ts.

import { SHARE_BYTES_MAX, type ReadState, type ScheduledConnection, type WriteTurns } from './read-state.ts'

/** The shortest time that the loop's timers know, and unnoticed by a flow of this size. */
export const POLL_INTERVAL_MS = 1
/** Who brings less than a record in a beat is looked at in every fourth, all such in the same. */
const SLOW_INTERVALS = 4
/** A round is done in so many turns, so that who sends little waits for some and not for all. */
const TURNS_PER_ROUND_MAX = 8
/** But a turn costs as much as a read: it takes so many who bring little, or so much. */
const GROUP_MIN = 16
const GROUP_BYTES_MIN = 16_384
/** And no more than half a millisecond's work, if it comes in full records. */
const GROUP_BYTES_MAX = 524_288
/** However it comes: in records of one packet the same bytes are ten times the work. */
const GROUP_MS_MAX = 1

export class PollRounds {
  readonly #turns: WriteTurns
  readonly #now: () => number
  readonly #mayStay: (readState: ReadState, byteCount: number) => boolean
  readonly #members = new Set<ScheduledConnection>()
  #isTicking = false
  /** Until the beat in which slow ones are looked at, too. */
  #intervalsToSlow = SLOW_INTERVALS
  #isSlowDue = false
  /** There are none but slow ones. */
  #isSlow = false
  /** Whom the present round looks at, and how far it has come. */
  #round: ScheduledConnection[] = []
  #roundAt = 0
  #groupSize = GROUP_MIN
  #groupBytes = GROUP_BYTES_MIN
  #roundBytes = 0
  #isInRound = false
  /** A beat came meanwhile. */
  #isRoundDue = false
  /** They had their share in this round, and there is more. */
  #unfinished: ScheduledConnection[] = []

  /** @param mayStay asked of a flow that has brought so many bytes: is it still to be looked at in intervals? */
  constructor(
    turns: WriteTurns,
    now: () => number,
    mayStay: (readState: ReadState, byteCount: number) => boolean,
  ) {
    this.#turns = turns
    this.#now = now
    this.#mayStay = mayStay
  }

  /** From now on `connection` is looked at in intervals. */
  take(connection: ScheduledConnection): void {
    const { readState } = connection
    readState.isPolled = true
    // Until it has been looked at for long enough to tell.
    readState.isSlow = false
    connection.readAsWanted()
    this.#members.add(connection)
    if (this.#isTicking) return
    this.#isTicking = true
    this.#turns.setPolling(true)
    setTimeout(this.#onInterval, POLL_INTERVAL_MS)
  }

  #release(connection: ScheduledConnection): void {
    this.#members.delete(connection)
    connection.readState.isPolled = false
    connection.readState.isFull = false
    connection.readAsWanted()
  }

  readonly #onInterval = (): void => {
    this.#isTicking = this.#members.size > 0
    if (!this.#isTicking) return this.#turns.setPolling(false)
    if (this.#intervalsToSlow === 0) {
      this.#isSlowDue = true
      this.#intervalsToSlow = SLOW_INTERVALS
    }
    if (this.#isInRound) this.#isRoundDue = true
    else this.#beginRound()
    const intervals = this.#isSlow ? this.#intervalsToSlow : 1
    this.#intervalsToSlow -= intervals
    this.#turns.setPolling(intervals === 1)
    setTimeout(this.#onInterval, intervals * POLL_INTERVAL_MS)
  }

  readonly #beginRound = (): void => {
    this.#round = []
    this.#isSlow = true
    for (const connection of this.#members) {
      if (!connection.readState.isSlow) this.#isSlow = false
      if (!connection.readState.isSlow || this.#isSlowDue) this.#round.push(connection)
    }
    this.#isSlowDue = false
    this.#isRoundDue = false
    this.#isInRound = true
    this.#groupSize = Math.max(GROUP_MIN, Math.ceil(this.#round.length / TURNS_PER_ROUND_MAX))
    // As much as before, it is expected.
    const share = this.#roundBytes / TURNS_PER_ROUND_MAX
    this.#groupBytes = Math.min(GROUP_BYTES_MAX, Math.max(GROUP_BYTES_MIN, share))
    this.#roundBytes = 0
    this.#nextGroup()
  }

  readonly #nextGroup = (): void => {
    const end = Math.min(this.#round.length, this.#roundAt + this.#groupSize)
    let byteCount = 0
    const endMs = this.#now() + GROUP_MS_MAX
    this.#turns.hold(true)
    while (this.#roundAt < end && byteCount < this.#groupBytes && this.#now() < endMs) {
      byteCount += this.#poll(this.#round[this.#roundAt++] as ScheduledConnection)
    }
    this.#roundBytes += byteCount
    this.#turns.release()
    if (this.#roundAt < this.#round.length) setImmediate(this.#nextGroup)
    else this.#endRound()
  }

  #endRound(): void {
    this.#turns.endRound()
    this.#round = this.#unfinished
    this.#roundAt = 0
    this.#unfinished = []
    if (this.#isRoundDue) setImmediate(this.#beginRound)
    else if (this.#round.length > 0) setImmediate(this.#nextGroup)
    else this.#isInRound = false
  }

  /** Returns how many bytes came. */
  #poll(connection: ScheduledConnection): number {
    const { readState } = connection
    const byteCount = connection.poll()
    if (byteCount < 0 || !this.#mayStay(readState, byteCount)) this.#release(connection)
    else if (byteCount === SHARE_BYTES_MAX) this.#unfinished.push(connection)
    return Math.max(0, byteCount)
  }
}
