// The read state of one connection, and the two interfaces of read scheduling: a connection as the scheduler sees it, and the
// scheduler's control of flushing. No decisions are made here: those are in read-scheduler.ts (how much of a connection is
// read in a turn, and which connections are polled) and in poll-rounds.ts (polling).
//
// A turn is one turn of the thread's event loop.

import type { ReadShare } from '#relay/ports.ts'

/**
 * Most that is read of one connection in a turn. A turn ends by writing. To read more than is written in a turn would only
 * fill outboxes, which would drop it; unread bytes wait in the system, which slows their sender.
 */
export const SHARE_BYTES_MAX = 65_536

/** A connection as the scheduler sees it. */
export interface ScheduledConnection {
  readonly readState: ReadState
  /** Starts or stops read events: `readState.wantsReadEvents` may have changed. */
  applyReadState(): void
  /**
   * Reads at once what is there, up to SHARE_BYTES_MAX. Returns the number of bytes: 0 if there are none yet, and less if
   * the connection can only be read by events.
   */
  poll(): number
}

/**
 * The scheduler's control over the side that writes: the relay. `release` writes at once everything that was read since `hold`.
 * In a poll round, which takes several turns, frames for siblings wait for the end of the round.
 */
export interface FlushControl {
  /** Whether from now on there is a poll round, and so a turn, every millisecond at least. */
  setPolling(isPolling: boolean): void
  hold(isInRound: boolean): void
  release(): void
  /** Each connection of the poll round has been polled. */
  endRound(): void
  /** Writes everything that was read so far, in the middle of a turn. */
  flushSoFar(): void
}

/** For a server without relay: nothing is held, so there is nothing to write. */
export const NO_FLUSH_CONTROL: FlushControl = {
  setPolling: () => undefined,
  hold: () => undefined,
  release: () => undefined,
  endRound: () => undefined,
  flushSoFar: () => undefined,
}

export class ReadState {
  /** Read in this turn. */
  turnBytes = 0
  turnReads = 0
  /** The connection brings a record or two per turn at most, so nothing is gained by waiting for the turn's end. */
  isSparse = true
  /** The end of the turn will review the connection. */
  isToBeReviewed = false
  /** The connection has had its share of this turn, and is not read again before the next one. */
  isShareUsed = false
  /** Nobody has logged in on it yet. */
  isStranger = true
  /** Read while it was a stranger's. */
  strangerBytes = 0
  /** It is one of many that are read in turn. */
  isInTurn = false
  /** It waits for that turn. */
  isWaiting = false
  /** The connection is polled: its bytes raise no read events. */
  isPolled = false
  /** The connection is a sibling's link, which carries packets of many clients. */
  isTrunk = false
  /** It has its share together with others; undefined: alone. */
  share: ReadShare | undefined = undefined
  /** Its records hold several packets each; unless it is a trunk, its sender has thus let some of them wait. */
  isBulk = false
  isHighRate = false
  /** It brings less than one record per poll interval. */
  isSlow = false
  /** Read since `windowFromMs`. */
  windowReads = 0
  windowBytes = 0
  windowFromMs = 0

  /** Whether the present read is probably the only one of the connection in this turn. */
  get isOnlyRead(): boolean {
    return this.isSparse && this.turnReads === 0 && !this.isPolled
  }

  /** Whether the system is to report that there is something to read. */
  get wantsReadEvents(): boolean {
    return !this.isShareUsed && !this.isPolled && !this.isWaiting
  }
}
