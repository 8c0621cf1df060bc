// The sessions of one relay thread, and what becomes due to them by time. An established session is looked at once per
// whole sweep if something was written to it or is due; those that have not logged in, at every call. Idle sessions are the
// most by far, and each touch of one that nothing is due to costs a miss of the processor's caches: when they are due is kept
// beside them, in one array.

/** A session as the list sees it. */
export interface ListedSession {
  /** Its place in the list, which keeps it. */
  listedAt: number
  /** It has logged in and has not ended. */
  readonly isEstablished: boolean
  /** To be called before it is established. Ends it if it has not logged in in time; returns whether it did. */
  endIfOverdue(nowMs: number): boolean
  /**
   * To be called while it is established. Does what is due. Returns when it is to be looked at again, in ms of the clock, if
   * nothing is written to it until then.
   */
  sweep(nowMs: number): number
  /** Memory is short: it gives up what it must. */
  freeMemory(): void
}

/** A whole sweep takes this many calls, so that no single one visits every session. */
const SWEEP_PARTS = 8
/** A thousand may be due to be ended at the same moment; packets do not wait for all of them. */
const ENDS_PER_TURN = 32
/** At the beginning; there is room for twice as many whenever it is full. */
const PLACES = 256

export interface SessionListParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Whether sessions must give up some of what waits. */
  readonly isMemoryShort: () => boolean
}

export class SessionList<Listed extends ListedSession> {
  readonly #parts: SessionListParts
  readonly #sessions: Listed[] = []
  /** By place: when the session there is to be looked at, in ms of the clock; 0: in the next whole sweep. */
  #dueMs = new Float64Array(PLACES)
  /** Oldest first; some have logged in already. */
  readonly #pendingLogins = new Set<ListedSession>()
  #part = 0
  /** Where the last visit stopped, and what part of a session is due to be visited since. */
  #visitedAt = 0
  #visitsDue = 0

  constructor(parts: SessionListParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#sessions.length
  }

  add(session: Listed): void {
    const at = this.#sessions.length
    if (at === this.#dueMs.length) this.#makeRoom()
    this.#dueMs[at] = 0
    session.listedAt = at
    this.#sessions.push(session)
    this.#pendingLogins.add(session)
  }

  delete(session: ListedSession): void {
    this.#pendingLogins.delete(session)
    const last = this.#sessions.pop()
    if (last === undefined || last === session) return
    this.#sessions[session.listedAt] = last
    this.#dueMs[session.listedAt] = this.#dueMs[last.listedAt] as number
    last.listedAt = session.listedAt
  }

  #makeRoom(): void {
    const before = this.#dueMs
    this.#dueMs = new Float64Array(2 * before.length)
    this.#dueMs.set(before)
  }

  /** Something was written to it, or its limits are others: it is to be looked at in the next whole sweep. */
  markDue({ listedAt }: ListedSession): void {
    this.#dueMs[listedAt] = 0
  }

  where(fits: (session: Listed) => boolean): readonly Listed[] {
    return this.#sessions.filter(fits)
  }

  /**
   * The last ones of the first `end` sessions, at most so many. Who asks on with `start` meets every session that stays: one
   * that is removed is replaced by the last one, so that some are met twice.
   */
  before(end: number, countMax: number): { readonly sessions: readonly Listed[]; readonly start: number } {
    const stop = Math.min(end, this.#sessions.length)
    const start = Math.max(0, stop - countMax)
    return { sessions: this.#sessions.slice(start, stop), start }
  }

  /** Visits that share of all sessions, each time other ones. */
  visit(share: number, visit: (session: Listed) => void): void {
    for (this.#visitsDue += share * this.#sessions.length; this.#visitsDue >= 1; this.#visitsDue--) {
      this.#visitedAt = (this.#visitedAt + 1) % this.#sessions.length
      visit(this.#sessions[this.#visitedAt] as Listed)
    }
  }

  /** Sweeps one part. Returns whether a whole sweep begins with this call. */
  sweep(): boolean {
    this.#part = (this.#part + 1) % SWEEP_PARTS
    this.#endOverdue()
    this.#sweepFrom(this.#part)
    return this.#part === 0
  }

  /** A session is not touched before it is due, unless memory is short. */
  #sweepFrom(start: number): void {
    const nowMs = this.#parts.now()
    const wasMemoryShort = this.#parts.isMemoryShort()
    let left = ENDS_PER_TURN
    for (let at = start; at < this.#sessions.length;) {
      if (!wasMemoryShort && (this.#dueMs[at] as number) > nowMs) {
        at += SWEEP_PARTS
        continue
      }
      const session = this.#sessions[at] as Listed
      if (wasMemoryShort && this.#parts.isMemoryShort()) session.freeMemory()
      const dueMs = session.isEstablished ? session.sweep(nowMs) : 0
      // One that has ended is replaced by the last one, whose turn would come with the next whole sweep.
      if (this.#sessions[at] === session) {
        this.#dueMs[at] = dueMs
        at += SWEEP_PARTS
      } else if (--left === 0) return this.#parts.later(0, () => this.#sweepFrom(at))
    }
  }

  /** Looked at in every call, so that a time limit of ten seconds does not become eleven, however many are late. */
  #endOverdue(): void {
    const nowMs = this.#parts.now()
    let left = ENDS_PER_TURN
    for (const session of this.#pendingLogins) {
      if (session.isEstablished) this.#pendingLogins.delete(session)
      else if (left-- === 0) return this.#parts.later(0, () => this.#endOverdue())
      else if (!session.endIfOverdue(nowMs)) return
    }
  }
}
