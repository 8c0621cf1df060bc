// Log lines for ended sessions, at most so many a second: a scanner, or a region that restarts, ends thousands. What
// gets no line of its own is counted, and one line tells how many of which reason when its second is over. Metrics
// count every one of them.

import { EndReason } from '#relay/end-reason.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

const SECOND_MS = 1_000

/** A remote that leaves, or is sent away by a shutdown, is no news. */
const ORDINARY: ReadonlySet<EndReason> = new Set([
  EndReason.remoteClosed,
  EndReason.remoteReset,
  EndReason.shutdown,
])

/** A session's end in words. */
export interface SessionEndText {
  readonly reason: EndReason
  /** Address and port. */
  readonly remote: string
  /** The node key, shortened; undefined when none was proven. */
  readonly key: string | undefined
  /** What led to it; undefined where the reason says it all. */
  readonly cause: string | undefined
}

export interface SessionEndLogParts {
  readonly log: Log
  readonly linesPerSecond: number
  /** Calls back once after so many ms. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class SessionEndLog {
  readonly #parts: SessionEndLogParts
  #secondStartedMs = -Infinity
  #lineCount = 0
  readonly #unlisted = new Map<EndReason, number>()

  constructor(parts: SessionEndLogParts) {
    this.#parts = parts
  }

  /** Ordinary ends are told at `debug`, all others at `info`. */
  write(end: SessionEndText): void {
    const level = ORDINARY.has(end.reason) ? 'debug' : 'info'
    if (!this.#parts.log.isEnabled(level)) return
    if (this.#takeLine()) this.#parts.log[level](LogEvent.sessionEnded, { ...end })
    else this.#leaveOut(end.reason)
  }

  #takeLine(): boolean {
    const nowMs = this.#parts.now()
    // While some are left out, the second lasts until they have been told of.
    if (this.#unlisted.size === 0 && nowMs - this.#secondStartedMs >= SECOND_MS) {
      this.#secondStartedMs = nowMs
      this.#lineCount = 0
    }
    if (this.#lineCount >= this.#parts.linesPerSecond) return false
    this.#lineCount++
    return true
  }

  #leaveOut(reason: EndReason): void {
    const { now, later } = this.#parts
    if (this.#unlisted.size === 0) {
      later(Math.max(0, this.#secondStartedMs + SECOND_MS - now()), () => this.#tellUnlisted())
    }
    this.#unlisted.set(reason, (this.#unlisted.get(reason) ?? 0) + 1)
  }

  #tellUnlisted(): void {
    const reasons = Object.fromEntries(this.#unlisted)
    const count = Object.values(reasons).reduce((sum, part) => sum + part, 0)
    const isOrdinary = [...this.#unlisted.keys()].every((reason) => ORDINARY.has(reason))
    this.#unlisted.clear()
    this.#parts.log[isOrdinary ? 'debug' : 'info'](LogEvent.sessionsEndedMore, { count, reasons })
  }
}
