// What has been started, as the ways to stop it: the last one first, each of them even when another one fails or
// hangs. What cannot be ended is named at the end, so that the process can be.

import { setTimeout as sleep } from 'node:timers/promises'

type Stop = () => Promise<void> | void

/** Parts end within seconds; a thread that hangs is given up after three, twice. */
const STOP_MS_MAX = 10_000

export class ServiceList {
  readonly #stops: Stop[] = []
  #stopping: Promise<void> | undefined = undefined

  push(stop: Stop): void {
    this.#stops.push(stop)
  }

  /** Whoever calls it again waits for the same end. @throws Error with the errors of all that failed as its cause */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    await this.#stopping
  }

  async #stopAll(): Promise<void> {
    const errors: unknown[] = []
    for (const stop of this.#stops.splice(0).reverse()) {
      try {
        await ended(stop)
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length === 0) return
    const text = errors.map((error) => (error instanceof Error ? error.message : String(error))).join('; ')
    throw new Error(`not all parts ended: ${text}`, { cause: new AggregateError(errors) })
  }
}

async function ended(stop: Stop): Promise<void> {
  const patience = new AbortController()
  const isEnded = Promise.resolve(stop()).then(() => true)
  const isOver = sleep(STOP_MS_MAX, false, { signal: patience.signal }).catch(() => false)
  try {
    if (!(await Promise.race([isEnded, isOver])))
      throw new Error(`a part did not end within ${STOP_MS_MAX} ms`)
  } finally {
    patience.abort()
  }
}
