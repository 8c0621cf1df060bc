// What the log says of siblings: when one can be reached, when it no longer can and why, and nothing of the attempts
// between. Each thread has links of its own; one thread's are told of: another is soon started in its place if it dies.

import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** A link as the log hears of it. */
export interface LinkNews {
  readonly name: string
  readonly state: string
  /** Why it is not up. */
  readonly why: string
}

/** Reasons that are told of one outage: who fails in more ways fails in many. */
const REASONS_MAX = 4

/** What was said of a sibling since it was last up. */
interface Said {
  state: string
  readonly reasons: Set<string>
}

export class SiblingLog {
  readonly #log: Log
  readonly #said = new Map<string, Said>()
  #thread: number | undefined = undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** A thread's links, all of them. */
  write(thread: number, links: readonly LinkNews[]): void {
    this.#thread ??= thread
    if (this.#thread !== thread) return
    const names = new Set(links.filter(({ state }) => state !== 'closed').map(({ name }) => name))
    for (const name of this.#said.keys()) if (!names.has(name)) this.#said.delete(name)
    for (const link of links) this.#tell(link)
  }

  #tell({ name, state, why }: LinkNews): void {
    if (state !== 'up' && state !== 'self' && state !== 'copied' && state !== 'waiting') return
    const said = this.#said.get(name) ?? { state: '', reasons: new Set() }
    this.#said.set(name, said)
    if (state === 'up' || state === 'self') {
      said.reasons.clear()
      if (said.state !== state) this.#log.info(EVENT_OF[state], { sibling: name })
    } else if (!said.reasons.has(why) && (state === 'copied' || said.reasons.size < REASONS_MAX)) {
      said.reasons.add(why)
      this.#log[state === 'copied' ? 'error' : 'warn'](EVENT_OF[state], { sibling: name, reason: why })
    }
    said.state = state
  }
}

const EVENT_OF = {
  up: LogEvent.siblingUp,
  self: LogEvent.siblingIsSelf,
  waiting: LogEvent.siblingDown,
  copied: LogEvent.siblingKeyConflict,
} as const
