// Polling: the connections that the read scheduler has chosen raise no read events, and are read in poll rounds. A round begins
// an interval after the last one has ended, and no later than two intervals after that began. It takes several turns of the event
// loop, a group of connections in each. A connection that has more than its share waiting is polled again in the same round, in a
// further pass after all others. Connections that have a share together (a tenant's) are passed over when it is used up, and come
// first in the next pass. Which connections are polled, and for how long, is decided in read-scheduler.ts. Runs on a relay thread.

import { ReadCredit } from './read-credit.ts'
import { LOOP_TIMER, type RoundTimer } from './round-timer.ts'
import { SHARE_BYTES_MAX, type FlushControl, type ReadState, type ScheduledConnection } from './read-state.ts'

/**
 * From the beginning of a round to that of the next at most. A round costs as much as a hundred packets, so one that waits for the
 * end of the last finds more packets for that than one that begins at a fixed time; and those wait for a millisecond at the mean.
 */
const INTERVALS_MAX = 2
/** For less, no timer is set. */
const WAIT_MS_MIN = 0.05
/** Slow connections are polled so rarely, all in the same round. */
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
  /** There is a round, or there will be one. */
  #isRunning = false
  /** When the present round began. */
  #beganMs = 0
  /** The first round after that polls slow connections too. */
  #slowDueMs = 0
  /** All polled connections are slow. */
  #areAllSlow = false
  /** The connections of the present round, and how many of them have been polled. */
  #round: ScheduledConnection[] = []
  #roundAt = 0
  #groupSize = GROUP_MIN
  #groupBytes = GROUP_BYTES_MIN
  #roundBytes = 0
  /** So many groups more are short. */
  #shortGroupsLeft = 0
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
    if (this.#isRunning) return
    this.#isRunning = true
    this.#beginRoundAfter(this.timer.intervalMs)
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

  #beginRoundAfter(ms: number): void {
    this.#flushControl.setPolling(ms <= ROUND_AWAITED_MS_MAX)
    if (ms < WAIT_MS_MIN) setImmediate(this.#beginRound)
    else this.timer.after(ms, this.#beginRound)
  }

  readonly #beginRound = (): void => {
    this.#beganMs = this.#now()
    const isSlowDue = this.#beganMs >= this.#slowDueMs
    // In the round that is nearest to that time.
    if (isSlowDue) this.#slowDueMs = this.#beganMs + SLOW_EVERY_MS - this.timer.intervalMs / 2
    this.#round = []
    this.#areAllSlow = true
    for (const connection of this.#polled) {
      if (!connection.readState.isSlow) this.#areAllSlow = false
      if (!connection.readState.isSlow || isSlowDue) this.#round.push(connection)
    }
    this.#credit.beginPass()
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
    else this.#endPass()
  }

  #endPass(): void {
    this.#flushControl.endRound()
    this.#round = [...this.#passedOver, ...this.#unfinished]
    this.#roundAt = 0
    this.#unfinished = []
    this.#passedOver = []
    this.#isRunning = this.#polled.size > 0
    if (!this.#isRunning) return this.#flushControl.setPolling(false)
    const nowMs = this.#now()
    const leftMs = this.#beganMs + INTERVALS_MAX * this.timer.intervalMs - nowMs
    if (this.#round.length > 0 && leftMs >= WAIT_MS_MIN) {
      this.#credit.beginPass()
      setImmediate(this.#nextGroup)
      return
    }
    const isLong = this.#areAllSlow && this.#round.length === 0
    if (isLong) this.#beginRoundAfter(Math.max(this.timer.intervalMs, this.#slowDueMs - nowMs))
    else this.#beginRoundAfter(Math.min(this.timer.intervalMs, leftMs))
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
