// How this run takes over from the one that serves when it starts: links the relay threads of both, waits until this run is
// ready, and asks the earlier one to hand over. Owns the link to the earlier run (`earlier-link.ts`). How the two understand
// each other is `earlier-run.ts`; the earlier run's part is `run-entrance.ts`. Runs on the control thread.
//
// Contract: any failure before the earlier run has been asked ends this run's start, and the earlier one serves on. If the
// earlier run ends meanwhile, this one goes on alone.

import { setTimeout as sleep } from 'node:timers/promises'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Counters, CounterSnapshot } from '#relay/counters.ts'
import { EarlierLink } from './earlier-link.ts'
import { HAND_OVER_MS_MAX, type EarlierRun } from './earlier-run.ts'
import type { RelayThreads } from './relay-threads.ts'

/** A run may take so long to become ready; most take a second. */
const READY_MS_MAX = 60_000
const READY_LOOK_MS = 100

export interface RunTakeoverParts {
  /** The relay's state folder. */
  readonly folder: string
  /** Of this run. */
  readonly number: number
  readonly earlier: EarlierRun
  readonly log: Log
  readonly onFault: (error: Error) => void
  /** For what the bridge to the earlier run drops. */
  readonly bridged: Counters
  /** What the earlier run has counted, with the runs before it. */
  readonly onCounters: (counters: CounterSnapshot) => void
  readonly onEarlierEnded: () => void
}

/** What this run must be able to do before it takes over. */
export interface TakeoverSteps {
  /** What the drain of the earlier run takes at most. */
  readonly drainMs: () => number
  /** Which checks still fail; empty when this run serves. */
  readonly unready: () => readonly string[]
  /** Whether any run can still be reached through run.sock. */
  readonly isEarlierAlive: () => Promise<boolean>
  /** Later runs reach this one from now on. */
  readonly replaceSocket: () => Promise<void>
  /** The earlier run has not handed over: if it serves on, later runs reach it again. Returns whether they do. */
  readonly giveSocketBack: () => Promise<boolean>
  readonly onTakingOver: () => Promise<void>
}

export class RunTakeover {
  readonly #parts: RunTakeoverParts
  #threads: RelayThreads | undefined = undefined
  #link: EarlierLink | undefined = undefined

  constructor(parts: RunTakeoverParts) {
    this.#parts = parts
  }

  /** Before the threads start: they are linked with the earlier run's. */
  attach(threads: RelayThreads): void {
    const { activity, threads: count } = this.#parts.earlier.joined
    this.#threads = threads
    threads.startAfter(activity)
    threads.openRun(count)
  }

  /** The earlier run, while it lives and drains. */
  get draining(): string | undefined {
    const { joined, end } = this.#parts.earlier
    if (end !== undefined) return undefined
    return `run ${joined.run} (version ${joined.version}, process ${joined.pid}) drains`
  }

  /** Packets pass between the two runs from now on. */
  async link(): Promise<void> {
    const { earlier, bridged, folder, log, onCounters, onFault } = this.#parts
    const threads = this.#threads
    if (threads === undefined) return
    this.#link = new EarlierLink({ folder, earlier, threads, counters: bridged, log, onFault })
    earlier.listen({ onCounters, onEnd: (why) => void this.#onEarlierEnd(why) })
    await this.#link.open(earlier.joined)
  }

  /** @throws Error if this run can't take over, and the earlier one serves on */
  async takeOver(steps: TakeoverSteps): Promise<void> {
    const { earlier, log, number } = this.#parts
    await this.#untilReady(steps)
    await this.#assertInTouch(steps)
    await steps.replaceSocket()
    const forMs = earlier.end === undefined ? HAND_OVER_MS_MAX + steps.drainMs() : 0
    this.#threads?.broadcast({ kind: 'otherRunDrains', forMs })
    await steps.onTakingOver()
    const hasHandedOver = await earlier.handOver()
    await this.#assertOver(steps, hasHandedOver)
    if (!hasHandedOver && earlier.end === undefined) {
      log.warn(LogEvent.runHandOverLate, { run: number, earlier: earlier.joined.run })
    }
    log.info(LogEvent.runTookOver, { run: number, earlier: earlier.joined.run })
    this.#link?.keep()
  }

  /** A relay thread has died, and its replacement is not linked with the earlier run. */
  async threadDied(why: string): Promise<void> {
    await this.#link?.threadDied(why)
  }

  /** While the threads still run, so that they learn of it. */
  async unlink(): Promise<void> {
    await this.#link?.stop()
  }

  async stop(): Promise<void> {
    await this.#parts.earlier.close()
  }

  /** @throws Error if this run does not become ready while the earlier one could serve on */
  async #untilReady({ unready }: TakeoverSteps): Promise<void> {
    const untilMs = performance.now() + READY_MS_MAX
    while (this.#parts.earlier.end === undefined) {
      const failing = unready()
      if (failing.length === 0) return
      if (performance.now() > untilMs) {
        throw new Error(
          `not ready within ${READY_MS_MAX / 1_000} s, so the run before serves on: ${failing.join('; ')}`,
        )
      }
      await sleep(READY_LOOK_MS)
    }
  }

  /** @throws Error if the earlier run is cut off from this one and serves on */
  async #assertInTouch({ isEarlierAlive }: TakeoverSteps): Promise<void> {
    const { end } = this.#parts.earlier
    if (end === undefined && this.#link?.isUp === true) return
    if (!(await isEarlierAlive())) return
    throw new Error(
      `the link to the run before is lost, and it serves on${end === undefined ? '' : `: ${end}`}`,
    )
  }

  /** @throws Error if the earlier run has not handed over, is cut off from this one and serves on */
  async #assertOver({ giveSocketBack }: TakeoverSteps, hasHandedOver: boolean): Promise<void> {
    const { end } = this.#parts.earlier
    // One that hangs has been asked, and hands over when it goes on.
    if (hasHandedOver || end === undefined || !(await giveSocketBack())) return
    throw new Error(`the run before does not hand over, and serves on: ${end}`)
  }

  async #onEarlierEnd(why: string): Promise<void> {
    const { earlier, log, onEarlierEnded, onFault } = this.#parts
    onEarlierEnded()
    this.#threads?.broadcast({ kind: 'otherRunDrains', forMs: 0 })
    const { run } = earlier.joined
    if (why === '') log.info(LogEvent.runEnded, { run })
    else log.warn(LogEvent.runLost, { run, reason: why })
    await this.#link?.stop().catch(onFault)
  }
}
