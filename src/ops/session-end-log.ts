// Log lines for ended sessions, limited per second. Ends beyond the limit are counted by reason and reported in one line.
// Metrics count every end.

import { EndReason } from '#relay/end-reason.ts'
import { LineLimit, suppressedFields, type LineLimitParts } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** Ends that need no attention: the remote has left, or this relay shuts down. */
const ORDINARY: ReadonlySet<EndReason> = new Set([
  EndReason.remoteClosed,
  EndReason.remoteReset,
  EndReason.drained,
  EndReason.shutdown,
])

/** The fields of a session's end. */
export interface SessionEndText {
  readonly reason: EndReason
  /** Address and port in the form that the operator has chosen; undefined: none. */
  readonly remote: string | undefined
  /** In the form that the operator has chosen; undefined if that is none, or if the session proved none. */
  readonly key: string | undefined
  /** Detail beyond the reason, if any. */
  readonly cause: string | undefined
}

export interface SessionLogParts extends Omit<LineLimitParts<never>, 'onSuppressed'> {
  readonly log: Log
}

export class SessionEndLog {
  readonly #log: Log
  readonly #limit: LineLimit<EndReason>

  constructor({ log, ...limit }: SessionLogParts) {
    this.#log = log
    this.#limit = new LineLimit({ ...limit, onSuppressed: (counts) => this.#writeSuppressed(counts) })
  }

  /** Logs ordinary ends at `debug`, all others at `info`. */
  write(end: SessionEndText): void {
    const level = ORDINARY.has(end.reason) ? 'debug' : 'info'
    if (!this.#log.isEnabled(level) || !this.#limit.take(end.reason)) return
    this.#log[level](LogEvent.sessionEnded, { ...end })
  }

  #writeSuppressed(counts: ReadonlyMap<EndReason, number>): void {
    const { count, kinds } = suppressedFields(counts)
    const isOrdinary = [...counts.keys()].every((reason) => ORDINARY.has(reason))
    this.#log[isOrdinary ? 'debug' : 'info'](LogEvent.sessionsEndedSuppressed, { count, reasons: kinds })
  }
}
