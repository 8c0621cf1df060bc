// What the log says of siblings: when one can be reached, when it no longer can and why, and nothing of the attempts
// between.

import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** A link as the log hears of it. */
export interface LinkNews {
  readonly name: string
  readonly state: string
  /** Why it is not up. */
  readonly why: string
}

export class SiblingLog {
  readonly #log: Log
  /** What was last said of each. */
  readonly #said = new Map<string, string>()

  constructor(log: Log) {
    this.#log = log
  }

  write({ name, state, why }: LinkNews): void {
    const said = this.#said.get(name)
    if (state === 'up') this.#say(name, 'up', () => this.#log.info(LogEvent.siblingUp, { sibling: name }))
    else if (state === 'self')
      this.#say(name, 'self', () => this.#log.info(LogEvent.siblingIsSelf, { sibling: name }))
    else if (state === 'waiting' && said !== why)
      this.#say(name, why, () => this.#log.warn(LogEvent.siblingDown, { sibling: name, reason: why }))
    else if (state === 'closed') this.#said.delete(name)
  }

  #say(name: string, what: string, write: () => void): void {
    if (this.#said.get(name) === what) return
    this.#said.set(name, what)
    write()
  }
}
