// The bound of the memory of the whole process, and what follows near it: at the bound, new connections are refused and the relay is
// not ready, so that clients go elsewhere; a little beyond, less data may wait. Whoever is here stays. Looks once a second. Each part
// of the relay has a bound of its own, but clients have none: this is theirs (docs/decisions/0042). Runs on the control thread.
//
// Contract: what begins ends only well below the bound, and not before some calm time: no flapping.

import type { CheckOutcome, HealthCheck } from '#ops/health.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MemoryState } from '#worker/thread-messages.ts'
import type { Service } from './service.ts'

const LOOK_MS = 1_000
/** Between the bound and what the system allows, half of a tenth by default: so much may still come before less data may wait. */
const SPENT_SHARE = 1.05
/** What is given back by those who leave is more than that, and what a collection of garbage gives is less. */
const ENOUGH_SHARE = 0.95
/** Refused clients come again within a few seconds. */
const CALM_MS = 5_000
/** A collection of garbage and the allocator's locks take a tenth of a second of everybody's time. */
const GIVE_BACK_EVERY_MS = 60_000

export interface MemoryGuardParts {
  /** Infinity: no bound. */
  readonly bytesMax: number
  /** Of the whole process, resident. */
  readonly residentBytes: () => number
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The relay threads are to do so from now on. */
  readonly onState: (state: MemoryState) => void
  /** Memory that nobody uses is to go back to the system. */
  readonly giveBack: () => void
}

export class MemoryGuard implements Service, HealthCheck {
  readonly name = 'memory'
  readonly #parts: MemoryGuardParts
  #bytesMax: number
  #residentBytes = 0
  #state: MemoryState = 'enough'
  /** When there was last less than enough. */
  #shortMs = -Infinity
  #gaveBackMs = -Infinity
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: MemoryGuardParts) {
    this.#parts = parts
    this.#bytesMax = parts.bytesMax
  }

  start(): void {
    this.look()
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** The bound from now on. */
  setBytesMax(bytesMax: number): void {
    this.#bytesMax = bytesMax
    this.#shortMs = -Infinity
    this.look()
  }

  look(): void {
    const { now, giveBack, residentBytes } = this.#parts
    this.#residentBytes = residentBytes()
    const nowMs = now()
    const share = this.#residentBytes / this.#bytesMax
    if (share >= (this.#state === 'enough' ? 1 : ENOUGH_SHARE)) this.#shortMs = nowMs
    const isShort = nowMs - this.#shortMs < CALM_MS
    this.#become(!isShort ? 'enough' : share >= SPENT_SHARE ? 'spent' : 'short')
    if (!isShort || nowMs - this.#gaveBackMs < GIVE_BACK_EVERY_MS) return
    this.#gaveBackMs = nowMs
    giveBack()
  }

  check(): CheckOutcome {
    if (this.#bytesMax === Infinity) return { isOk: true, detail: 'no bound' }
    const numbers = `resident: ${this.#residentBytes} bytes; bound: ${this.#bytesMax}`
    return this.#state === 'enough'
      ? { isOk: true, detail: numbers }
      : { isOk: false, detail: `${numbers}; new connections are refused` }
  }

  #become(state: MemoryState): void {
    if (state === this.#state) return
    const { log, onState } = this.#parts
    const fields = { resident: this.#residentBytes, limit: this.#bytesMax }
    if (state === 'enough') log.info(LogEvent.memoryEnough, fields)
    else if (this.#state === 'enough' || state === 'spent')
      log.warn(LogEvent.memoryShort, { ...fields, state })
    this.#state = state
    onState(state)
  }
}
