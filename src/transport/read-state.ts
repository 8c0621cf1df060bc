// What is known of how a connection brings its bytes, and what is asked of it to read it in a measured way: by
// turns (read-scheduler.ts) and in beats (poll-rounds.ts). No decisions are made here.

/**
 * What is read of one connection in a turn. A turn ends by writing, so reading more than is written in a turn would
 * only fill outboxes and be dropped there; unread bytes wait in the system, which slows their sender.
 */
export const SHARE_BYTES_MAX = 65_536

/** A connection as the scheduler sees it. */
export interface ScheduledConnection {
  readonly readState: ReadState
  /** Whether its bytes are waited for (`ReadState.isAwaited`) has changed. */
  readAsWanted(): void
  /**
   * Reads at once what is there, up to SHARE_BYTES_MAX. Returns how many bytes that were; 0 if nothing is there yet,
   * and less if they can only be waited for.
   */
  poll(): number
}

/**
 * Who writes when something has been read; `release` writes at once what came since `hold`. In a round, which is done
 * in several pieces, what is for siblings waits for its end.
 */
export interface WriteTurns {
  /** Whether there is a turn every millisecond from now on, at least. */
  setPolling(isPolling: boolean): void
  hold(isInRound: boolean): void
  release(): void
  /** Everybody has been looked at whose turn it was. */
  endRound(): void
  /** Writes what came so far, in the middle of a turn. */
  flushSoFar(): void
}

/** Nobody writes, or at once. */
export const NO_WRITE_TURNS: WriteTurns = {
  setPolling: () => undefined,
  hold: () => undefined,
  release: () => undefined,
  endRound: () => undefined,
  flushSoFar: () => undefined,
}

/** What the scheduler remembers of one connection. */
export class ReadState {
  turnBytes = 0
  turnReads = 0
  /** It brings no more than a record or two in a turn, so that nothing is gained by waiting for the turn's end. */
  isSparse = true
  /** The turn's end will look at it. */
  isTouched = false
  /** It has had its share of this turn. */
  isResting = false
  /** It is looked at in beats. */
  isPolled = false
  /** Packets of many come over it. */
  isTrunk = false
  /** Its records have several packets, of which their sender has thus let some wait; unless it is a trunk. */
  isBulk = false
  isFull = false
  /** It brings less than a record in a beat. */
  isSlow = false
  windowReads = 0
  windowBytes = 0
  windowFromMs = 0

  /** What is read now is all that it brings in this turn, as far as one can tell. */
  get isAlone(): boolean {
    return this.isSparse && this.turnReads === 0 && !this.isPolled
  }

  /** The system shall tell when there is something to be read. */
  get isAwaited(): boolean {
    return !this.isResting && !this.isPolled
  }
}
