// Log lines for logins, and for clients that make this relay their home: when did a node connect, and from where? At
// `debug` alone, and at most so many a second; metrics count every one.

import { LineLimit, leftOutFields } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { SessionLogParts } from './session-end-log.ts'
import type { Log } from './log.ts'

/** A login in words. */
export interface SessionStartText {
  /** The node key, shortened. */
  readonly key: string
  /** Address and port. */
  readonly remote: string
  readonly way: 'derp' | 'fast_start' | 'websocket'
  readonly kind: 'client' | 'prober' | 'sibling'
  /** What the application calls itself, where it does. */
  readonly app: string | undefined
}

/** A key's clients call this relay their home, or no more. */
export interface HomeText {
  /** The node key, shortened. */
  readonly key: string
  readonly home: boolean
}

export class SessionStartLog {
  readonly #log: Log
  readonly #limit: LineLimit<SessionStartText['way'] | 'home'>

  constructor({ log, ...limit }: SessionLogParts) {
    this.#log = log
    this.#limit = new LineLimit({
      ...limit,
      onLeftOut: (counts) => {
        const { count, kinds } = leftOutFields(counts)
        log.debug(LogEvent.sessionsStartedSuppressed, { count, ways: kinds })
      },
    })
  }

  write(start: SessionStartText): void {
    if (this.#log.isEnabled('debug') && this.#limit.take(start.way)) {
      this.#log.debug(LogEvent.sessionStarted, { ...start })
    }
  }

  writeHome(home: HomeText): void {
    if (this.#log.isEnabled('debug') && this.#limit.take('home')) {
      this.#log.debug(LogEvent.homeChanged, { ...home })
    }
  }
}
