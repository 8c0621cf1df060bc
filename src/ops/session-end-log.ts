// Log lines for ended sessions, at most so many a second; what gets no line of its own is counted by reason, and one
// line tells of it. Metrics count every one of them.

import { EndReason } from '#relay/end-reason.ts'
import { LineLimit, leftOutFields, type LineLimitParts } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

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

export interface SessionLogParts extends Omit<LineLimitParts<never>, 'onLeftOut'> {
  readonly log: Log
}

export class SessionEndLog {
  readonly #log: Log
  readonly #limit: LineLimit<EndReason>

  constructor({ log, ...limit }: SessionLogParts) {
    this.#log = log
    this.#limit = new LineLimit({ ...limit, onLeftOut: (counts) => this.#tellLeftOut(counts) })
  }

  /** Ordinary ends are told at `debug`, all others at `info`. */
  write(end: SessionEndText): void {
    const level = ORDINARY.has(end.reason) ? 'debug' : 'info'
    if (!this.#log.isEnabled(level) || !this.#limit.take(end.reason)) return
    this.#log[level](LogEvent.sessionEnded, { ...end })
  }

  #tellLeftOut(counts: ReadonlyMap<EndReason, number>): void {
    const { count, kinds } = leftOutFields(counts)
    const isOrdinary = [...counts.keys()].every((reason) => ORDINARY.has(reason))
    this.#log[isOrdinary ? 'debug' : 'info'](LogEvent.sessionsEndedSuppressed, { count, reasons: kinds })
  }
}
