// Log lines for logins and for changes of a client's home relay. They answer when a client connected, and from which
// address. At level `debug` only, and limited per second. Metrics count every login.

import { LineLimit, suppressedFields } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { SessionLogParts } from './session-end-log.ts'
import type { Log } from './log.ts'

/** The fields of a login. */
export interface SessionStartText {
  /** In the form that the operator has chosen; undefined: none. */
  readonly key: string | undefined
  /** Address and port in the form that the operator has chosen; undefined: none. */
  readonly remote: string | undefined
  readonly way: 'derp' | 'fast_start' | 'websocket'
  readonly kind: 'client' | 'prober' | 'sibling'
  /** The name of the application, if the client sent one. */
  readonly app: string | undefined
}

/** A client made this relay its home relay, or ceased to. */
export interface HomeText {
  /** In the form that the operator has chosen; undefined: none. */
  readonly key: string | undefined
  readonly home: boolean
}

export class SessionStartLog {
  readonly #log: Log
  readonly #limit: LineLimit<SessionStartText['way'] | 'home'>

  constructor({ log, ...limit }: SessionLogParts) {
    this.#log = log
    this.#limit = new LineLimit({
      ...limit,
      onSuppressed: (counts) => {
        const { count, kinds } = suppressedFields(counts)
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
