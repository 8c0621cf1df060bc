// A long-lived part of a relay, and the list of all of them: started in order, drained together if asked to, stopped in reverse. Runs
// on the control thread. Not a supervisor: what happens to a part between its start and its stop, restarts included, is
// the part's own business.

import { setTimeout as sleep } from 'node:timers/promises'

/** A long-lived part: a listener, a timer, a set of threads, a connection. Its constructor starts nothing. */
export interface Service {
  /** Resolves when the part serves. A start that rejects may leave something running; `stop` follows and ends it. */
  start(): Promise<void> | void
  /**
   * Refuses new work and lets present work finish, within a time limit of its own. Called before any service is stopped,
   * unless the relay is to stop at once; `stop` may come in the middle. A part that can be stopped at any moment has none.
   */
  drain?(): Promise<void>
  /** Ends the part. Called at most once, and only after `start` was called. */
  stop(): Promise<void> | void
}

/** A part ends within seconds; worker threads that hang are given up after twice three seconds. */
const STOP_MS_MAX = 10_000

export class Services {
  readonly #inOrder: readonly Service[]
  /** Those whose start has begun, in that order. */
  readonly #started: Service[] = []
  readonly #stoppedLast: Service | undefined
  #draining: Promise<unknown[]> | undefined = undefined
  #stopping: Promise<void> | undefined = undefined

  /**
   * @param inOrder in the order of their start
   * @param stoppedLast the one that shows how the others end
   */
  constructor(inOrder: readonly Service[], stoppedLast?: Service) {
    this.#inOrder = inOrder
    this.#stoppedLast = stoppedLast
  }

  /**
   * A start that fails stops what was started and rejects with its error.
   *
   * @param onStopFailed receives the error of that stop
   */
  async start(onStopFailed: (error: unknown) => void): Promise<void> {
    try {
      for (const service of this.#inOrder) {
        this.#started.push(service)
        await service.start()
      }
    } catch (error) {
      const failure = failureOf(await this.#stopAll())
      if (failure !== undefined) onStopFailed(failure)
      throw error
    }
  }

  /**
   * Drains all services together. A second call waits for the same end.
   *
   * @returns the errors of those that failed
   */
  async drain(): Promise<readonly unknown[]> {
    this.#draining ??= drainAll(this.#started)
    return await this.#draining
  }

  /** Stops some of them before the others, which go on. */
  async release(services: readonly Service[]): Promise<void> {
    const failure = failureOf(await stopAll(services.filter((one) => this.#take(one))))
    if (failure !== undefined) throw failure
  }

  #take(service: Service): boolean {
    const at = this.#started.indexOf(service)
    if (at >= 0) this.#started.splice(at, 1)
    return at >= 0
  }

  /**
   * Stops each service, the last started first, even if others fail or hang. A second call waits for the same end.
   *
   * @throws Error whose cause is an AggregateError of all failures
   */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    await this.#stopping
  }

  async #stop(): Promise<void> {
    const failure = failureOf(await this.#stopAll())
    if (failure !== undefined) throw failure
  }

  async #stopAll(): Promise<unknown[]> {
    const started = this.#started.splice(0).reverse()
    const isLast = (service: Service): boolean => service === this.#stoppedLast
    return await stopAll([...started.filter((one) => !isLast(one)), ...started.filter(isLast)])
  }
}

async function stopAll(services: readonly Service[]): Promise<unknown[]> {
  const errors: unknown[] = []
  for (const service of services) {
    try {
      await stopInTime(service)
    } catch (error) {
      errors.push(error)
    }
  }
  return errors
}

async function drainAll(services: readonly Service[]): Promise<unknown[]> {
  const drains = await Promise.allSettled(services.map(async (service) => await service.drain?.()))
  return drains.flatMap((drain): unknown[] => (drain.status === 'rejected' ? [drain.reason] : []))
}

function failureOf(errors: readonly unknown[]): Error | undefined {
  if (errors.length === 0) return undefined
  const text = errors.map((error) => (error instanceof Error ? error.message : String(error))).join('; ')
  return new Error(`not all parts ended: ${text}`, { cause: new AggregateError(errors) })
}

async function stopInTime(service: Service): Promise<void> {
  const limit = new AbortController()
  const stopped = Promise.resolve(service.stop()).then(() => true)
  const timedOut = sleep(STOP_MS_MAX, false, { signal: limit.signal }).catch(() => false)
  try {
    if (!(await Promise.race([stopped, timedOut])))
      throw new Error(`a part did not end within ${STOP_MS_MAX / 1_000} s`)
  } finally {
    limit.abort()
  }
}
