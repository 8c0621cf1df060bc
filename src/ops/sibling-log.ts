// Log lines about siblings: when a link comes up, and when it goes down and why. Reconnection attempts between are not
// logged. Every relay thread has links of its own; only the links of one thread are logged. If that thread dies, its
// replacement has the same number.

import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** The state of a link to a sibling. */
export interface LinkState {
  readonly name: string
  readonly state: string
  /** Why the link is not up. */
  readonly why: string
}

/** Reasons that are logged for one outage. A sibling that fails for more reasons may fail for any number. */
const REASONS_MAX = 4

/** What the log has said of a sibling since it was last up. */
interface Logged {
  state: string
  readonly reasons: Set<string>
}

export class SiblingLog {
  readonly #log: Log
  readonly #logged = new Map<string, Logged>()
  #thread: number | undefined = undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** Logs the changes since the last call. @param links all links of the thread */
  write(thread: number, links: readonly LinkState[]): void {
    this.#thread ??= thread
    if (this.#thread !== thread) return
    const names = new Set(links.filter(({ state }) => state !== 'closed').map(({ name }) => name))
    for (const name of this.#logged.keys()) if (!names.has(name)) this.#logged.delete(name)
    for (const link of links) this.#writeLink(link)
  }

  #writeLink({ name, state, why }: LinkState): void {
    if (state !== 'up' && state !== 'self' && state !== 'copied' && state !== 'waiting') return
    const logged = this.#logged.get(name) ?? { state: '', reasons: new Set() }
    this.#logged.set(name, logged)
    if (state === 'up' || state === 'self') {
      logged.reasons.clear()
      if (logged.state !== state) this.#log.info(EVENT_OF[state], { sibling: name })
    } else if (!logged.reasons.has(why) && (state === 'copied' || logged.reasons.size < REASONS_MAX)) {
      logged.reasons.add(why)
      this.#log[state === 'copied' ? 'error' : 'warn'](EVENT_OF[state], { sibling: name, reason: why })
    }
    logged.state = state
  }
}

const EVENT_OF = {
  up: LogEvent.siblingUp,
  self: LogEvent.siblingIsSelf,
  waiting: LogEvent.siblingDown,
  copied: LogEvent.siblingKeyConflict,
} as const
