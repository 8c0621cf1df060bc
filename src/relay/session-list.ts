// The sessions of one relay thread, and what becomes due to them by time. Each is looked at once in a whole sweep; those
// that have not logged in, at every call.

import type { Session } from './session.ts'

/** A whole sweep takes this many calls, so that no single one visits every session. */
const SWEEP_PARTS = 8
/** A thousand may be due to be ended at the same moment; packets don't wait for all of them. */
const ENDS_PER_TURN = 32

export interface SessionListParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Whether sessions must give up some of what waits. */
  readonly isMemoryShort: () => boolean
}

export class SessionList {
  readonly #parts: SessionListParts
  readonly #sessions: Session[] = []
  /** Oldest first; some have logged in already. */
  readonly #pendingHandshakes = new Set<Session>()
  #part = 0

  constructor(parts: SessionListParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#sessions.length
  }

  add(session: Session): void {
    session.listedAt = this.#sessions.length
    this.#sessions.push(session)
    this.#pendingHandshakes.add(session)
  }

  delete(session: Session): void {
    this.#pendingHandshakes.delete(session)
    const last = this.#sessions.pop()
    if (last === undefined || last === session) return
    this.#sessions[session.listedAt] = last
    last.listedAt = session.listedAt
  }

  where(fits: (session: Session) => boolean): readonly Session[] {
    return this.#sessions.filter(fits)
  }

  /** True: with this call a whole sweep begins. */
  sweep(): boolean {
    this.#part = (this.#part + 1) % SWEEP_PARTS
    this.#endOverdue()
    this.#sweepFrom(this.#part)
    return this.#part === 0
  }

  #sweepFrom(start: number): void {
    const nowMs = this.#parts.now()
    let left = ENDS_PER_TURN
    for (let at = start; at < this.#sessions.length;) {
      const session = this.#sessions[at] as Session
      if (this.#parts.isMemoryShort()) session.relieve()
      if (session.isEstablished) session.sweep(nowMs)
      // One that has ended is replaced by the last one, whose turn would come with the next whole sweep.
      if (this.#sessions[at] === session) at += SWEEP_PARTS
      else if (--left === 0) return this.#parts.later(0, () => this.#sweepFrom(at))
    }
  }

  /** Ten seconds shall not be eleven, however many are late. */
  #endOverdue(): void {
    const nowMs = this.#parts.now()
    let left = ENDS_PER_TURN
    for (const session of this.#pendingHandshakes) {
      if (session.isEstablished) this.#pendingHandshakes.delete(session)
      else if (!session.isOverdue(nowMs)) return
      else if (left-- > 0) session.sweep(nowMs)
      else return this.#parts.later(0, () => this.#endOverdue())
    }
  }
}
