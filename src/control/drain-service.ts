// The drain of a relay as its control thread conducts it: readiness ends, and with it STUN; the relay threads refuse
// connections and move their clients; the last numbers are logged and wait to be read. Not concerned with the end of the
// parts, which follows. How a thread moves its clients is `relay/relay-drain.ts`. docs/drain.md describes the drain to
// operators.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '#config/settings.ts'
import type { DrainNumbers, DrainWatch } from '#ops/drain-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { DRAIN_CLIENT_MS_MAX } from '#relay/relay-drain.ts'
import type { AdminService } from './admin-service.ts'
import type { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

/**
 * From one client's turn to the next at least, if a newer run has taken over: no process manager waits for the end then, and
 * logins cost a run that has just started several milliseconds each. Clients that are away for longer lose packets.
 */
const HAND_OVER_CLIENT_MS = 15

export interface DrainServiceParts {
  /** The times in use. */
  readonly times: () => Settings['drain']
  readonly log: Log
  readonly watch: DrainWatch
  readonly threads: Pick<RelayThreads, 'moveClients'>
  /** Another run of this relay serves: siblings are moved to it, too. */
  readonly hasHandedOver: () => boolean
  readonly readiness: Pick<Readiness, 'drainStarted'>
  /** Tells siblings; resolves when they know. */
  readonly announce: () => Promise<void>
  /** Undefined without an admin port. */
  readonly admin: () => Pick<AdminService, 'scraped'> | undefined
}

export class DrainService implements Service {
  readonly #parts: DrainServiceParts
  readonly #asked = Promise.withResolvers<'drain'>()
  readonly #finished = Promise.withResolvers<DrainNumbers>()

  constructor(parts: DrainServiceParts) {
    this.#parts = parts
    // Nobody may wait for it.
    this.#finished.promise.catch(() => undefined)
  }

  start(): void {}

  /** What the drain of a run with so many clients takes at most that has handed over, with the times in use. */
  handOverMs(clients: number): number {
    const { settleMs, spreadMs } = this.#parts.times()
    return settleMs + Math.max(spreadMs, clients * HAND_OVER_CLIENT_MS) + DRAIN_CLIENT_MS_MAX
  }

  /** Resolves when somebody has asked for a drain by `ask`. */
  get asked(): Promise<'drain'> {
    return this.#asked.promise
  }

  /** Asks the starter of the relay to drain it and to end. Resolves when no client is left; rejects if it stops before. */
  async ask(): Promise<DrainNumbers> {
    this.#asked.resolve('drain')
    return await this.#finished.promise
  }

  async drain(): Promise<void> {
    const { log, watch, threads, readiness } = this.#parts
    const movesSiblings = this.#parts.hasHandedOver()
    const startedMs = performance.now()
    watch.begin()
    await this.#parts.announce()
    const { remaining: clients } = watch.numbers()
    const times = this.#parts.times()
    const { settleMs } = times
    const spreadMs = Math.max(times.spreadMs, movesSiblings ? clients * HAND_OVER_CLIENT_MS : 0)
    log.info(LogEvent.relayDraining, { clients, settleMs, spreadMs })
    // In one turn: STUN falls silent, and the threads close the port.
    readiness.drainStarted()
    await threads.moveClients({ settleMs, spreadMs, movesSiblings })
    const numbers = watch.numbers()
    log.info(LogEvent.relayDrained, { ...numbers, durationMs: Math.round(performance.now() - startedMs) })
    this.#finished.resolve(numbers)
    if (numbers.moved + numbers.forced + numbers.left > 0) await this.#lastScrape()
  }

  /** A stop in the middle of a drain needs nothing else: the threads end their clients. */
  stop(): void {
    this.#finished.reject(new Error('the relay stops at once'))
  }

  async #lastScrape(): Promise<void> {
    const scraped = this.#parts.admin()?.scraped()
    if (scraped === undefined) return
    await Promise.race([scraped, sleep(this.#parts.times().scrapeWaitMs)])
  }
}
