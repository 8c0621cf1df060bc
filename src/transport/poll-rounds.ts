// Polling: the connections that the read scheduler has chosen raise no read events, and are read once per poll interval, in a
// poll round. A round takes several turns of the event loop, a group of connections in each. A connection that has more than
// its share waiting is polled again in the same round, in a further pass after all others. Connections that have a share
// together (a tenant's) are passed over when it is used up, and come first in the next pass. Which connections are polled, and
// for how long, is decided in read-scheduler.ts. Runs on a relay thread.

import { ReadCredit } from './read-credit.ts'
import { LOOP_TIMER, type RoundTimer } from './round-timer.ts'
import { SHARE_BYTES_MAX, type FlushControl, type ReadState, type ScheduledConnection } from './read-state.ts'

/** Slow connections are polled so rarely, all in the same interval. */
const SLOW_EVERY_MS = 4
/** Other threads hand over packets to a thread that has a round so often without waking it. */
const ROUND_AWAITED_MS_MAX = 1
/** A round takes so many turns, so that low-rate connections wait for one turn and not for the whole round. */
const TURNS_PER_ROUND_MAX = 8
/** A turn costs as much as a read. So a group has so many connections at least, or brings so many bytes … */
const GROUP_MIN = 16
const GROUP_BYTES_MIN = 16_384
/** … and four times as much, of however many connections, while nobody waits for the turn … */
const GROUP_BYTES_MIN_ALONE = 65_536
/** … and it stops at half a millisecond's work, if the bytes come in full records … */
const GROUP_BYTES_MAX = 524_288
/** … or at this time: in records of one packet the same bytes are ten times the work. */
const GROUP_MS_MAX = 1
/** A quarter of that while others wait: a packet between two of them waits for two groups, and a group costs a turn. */
const GROUP_MS_BESIDE_OTHERS = 0.25
const GROUP_BYTES_BESIDE_OTHERS = 131_072
/** So many groups long after one of them was read: one that brings a packet a millisecond is expected again. */
const GROUPS_BESIDE_OTHERS = 16

export class PollRounds {
  readonly #flushControl: FlushControl
  readonly #now: () => number
  readonly #shouldKeep: (readState: ReadState, byteCount: number) => boolean
  /** Those that share with others: the one that was polled longest ago first. */
  readonly #polled = new Set<ScheduledConnection>()
  #isTicking = false
  #intervalsUntilSlow = 0
  /** The next round polls slow connections too. */
  #isSlowDue = false
  /** All polled connections are slow. */
  #areAllSlow = false
  /** The connections of the present round, and how many of them have been polled. */
  #round: ScheduledConnection[] = []
  #roundAt = 0
  #groupSize = GROUP_MIN
  #groupBytes = GROUP_BYTES_MIN
  #roundBytes = 0
  #isInRound = false
  /** So many groups more are short. */
  #shortGroupsLeft = 0
  /** The next interval has begun during the round. */
  #isRoundDue = false
  /** Connections that had their share in this pass and have more. */
  #unfinished: ScheduledConnection[] = []
  /** Those whose share was used up by others. */
  #passedOver: ScheduledConnection[] = []
  readonly #credit = new ReadCredit()
  /** Begins the rounds. May be replaced. */
  timer: RoundTimer = LOOP_TIMER

  /** @param shouldKeep asked after each poll that brought so many bytes: is the connection to be polled further? */
  constructor(
    flushControl: FlushControl,
    now: () => number,
    shouldKeep: (readState: ReadState, byteCount: number) => boolean,
  ) {
    this.#flushControl = flushControl
    this.#now = now
    this.#shouldKeep = shouldKeep
  }

  /** Polls `connection` from now on. */
  add(connection: ScheduledConnection): void {
    const { readState } = connection
    readState.isPolled = true
    // Until a whole window has been measured.
    readState.isSlow = false
    connection.applyReadState()
    this.#polled.add(connection)
    if (this.#isTicking) return
    this.#isTicking = true
    this.#flushControl.setPolling(true)
    this.timer.after(this.timer.intervalMs, this.#onInterval)
  }

  /** A connection that is not polled was read. */
  onOtherRead(): void {
    this.#shortGroupsLeft = GROUPS_BESIDE_OTHERS
  }

  #remove(connection: ScheduledConnection): void {
    this.#polled.delete(connection)
    connection.readState.isPolled = false
    connection.readState.isHighRate = false
    connection.applyReadState()
  }

  readonly #onInterval = (): void => {
    this.#isTicking = this.#polled.size > 0
    if (!this.#isTicking) return this.#flushControl.setPolling(false)
    if (this.#intervalsUntilSlow === 0) {
      this.#isSlowDue = true
      this.#intervalsUntilSlow = Math.round(SLOW_EVERY_MS / this.timer.intervalMs)
    }
    if (this.#isInRound) this.#isRoundDue = true
    else this.#beginRound()
    const intervals = this.#areAllSlow ? this.#intervalsUntilSlow : 1
    this.#intervalsUntilSlow -= intervals
    const waitMs = intervals * this.timer.intervalMs
    this.#flushControl.setPolling(waitMs <= ROUND_AWAITED_MS_MAX)
    this.timer.after(waitMs, this.#onInterval)
  }

  readonly #beginRound = (): void => {
    this.#round = []
    this.#areAllSlow = true
    for (const connection of this.#polled) {
      if (!connection.readState.isSlow) this.#areAllSlow = false
      if (!connection.readState.isSlow || this.#isSlowDue) this.#round.push(connection)
    }
    this.#credit.beginPass()
    this.#isSlowDue = false
    this.#isRoundDue = false
    this.#isInRound = true
    this.#groupSize = Math.max(GROUP_MIN, Math.ceil(this.#round.length / TURNS_PER_ROUND_MAX))
    // This round is expected to bring as much as the last one.
    const share = this.#roundBytes / TURNS_PER_ROUND_MAX
    this.#groupBytes = Math.min(GROUP_BYTES_MAX, Math.max(GROUP_BYTES_MIN, share))
    this.#roundBytes = 0
    this.#nextGroup()
  }

  readonly #nextGroup = (): void => {
    const isShort = this.#shortGroupsLeft > 0
    if (isShort) this.#shortGroupsLeft--
    let left = isShort ? this.#groupSize : Infinity
    const bytesMax = isShort
      ? Math.min(this.#groupBytes, GROUP_BYTES_BESIDE_OTHERS)
      : Math.max(this.#groupBytes, GROUP_BYTES_MIN_ALONE)
    const endMs = this.#now() + (isShort ? GROUP_MS_BESIDE_OTHERS : GROUP_MS_MAX)
    let byteCount = 0
    this.#flushControl.hold(true)
    while (this.#roundAt < this.#round.length && left > 0 && byteCount < bytesMax) {
      const connection = this.#round[this.#roundAt++] as ScheduledConnection
      if (this.#isPassedOver(connection)) continue
      if (this.#now() >= endMs) {
        this.#roundAt--
        break
      }
      left--
      byteCount += this.#poll(connection)
    }
    this.#roundBytes += byteCount
    this.#flushControl.release()
    if (this.#roundAt < this.#round.length) setImmediate(this.#nextGroup)
    else this.#endRound()
  }

  #endRound(): void {
    this.#flushControl.endRound()
    this.#round = [...this.#passedOver, ...this.#unfinished]
    this.#roundAt = 0
    this.#unfinished = []
    this.#passedOver = []
    if (!this.#isRoundDue && this.#round.length > 0) this.#credit.beginPass()
    if (this.#isRoundDue) setImmediate(this.#beginRound)
    else if (this.#round.length > 0) setImmediate(this.#nextGroup)
    else this.#isInRound = false
  }

  /** Whether its share is used up. Then it comes first in the next pass. */
  #isPassedOver(connection: ScheduledConnection): boolean {
    const { share } = connection.readState
    const isPassedOver = share !== undefined && !this.#credit.isLeft(share)
    if (isPassedOver) this.#passedOver.push(connection)
    return isPassedOver
  }

  /** Returns how many bytes were read. */
  #poll(connection: ScheduledConnection): number {
    const { readState } = connection
    const { share } = readState
    // After those of its share that are passed over in this round.
    if (share !== undefined && this.#polled.delete(connection)) this.#polled.add(connection)
    const byteCount = connection.poll()
    if (byteCount < 0 || !this.#shouldKeep(readState, byteCount)) this.#remove(connection)
    else if (byteCount === SHARE_BYTES_MAX) {
      // The only busy one of its share has as much in a pass as many of another share have together.
      if (share !== undefined && this.#credit.isLeft(share)) this.#round.push(connection)
      else this.#unfinished.push(connection)
    }
    return Math.max(0, byteCount)
  }
}
