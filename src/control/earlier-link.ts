// The newer run's link to the threads of the earlier run: opened before this run listens, and opened again when it breaks while
// the earlier run drains, so that clients of the two reach each other to the end. What the runs say to each other beside it is
// `earlier-run.ts`. Runs on the control thread.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Counters } from '#relay/counters.ts'
import { socketPathIn } from './control-socket.ts'
import type { EarlierRun } from './earlier-run.ts'
import type { RelayThreads } from './relay-threads.ts'
import { RunBridgeLink } from './run-bridge-link.ts'
import type { ThreadsOffer } from './run-messages.ts'

/** A thread that has died is there again by then, and an earlier run that has ended has said so. */
const RELINK_AFTER_MS = 1_000
/** What breaks again and again is a bug; a drain takes seconds. */
const RELINKS_MAX = 10

export interface EarlierLinkParts {
  readonly folder: string
  readonly earlier: EarlierRun
  readonly threads: Pick<RelayThreads, 'bridge' | 'closeRun' | 'count' | 'openRun' | 'present'>
  /** For what the bridge drops. */
  readonly counters: Counters
  readonly log: Log
  readonly onFault: (error: Error) => void
}

export class EarlierLink {
  readonly #parts: EarlierLinkParts
  #bridge: RunBridgeLink | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #relinks = 0
  /** Opened again when it breaks. */
  #isKept = false
  #isStopped = false

  constructor(parts: EarlierLinkParts) {
    this.#parts = parts
  }

  get isUp(): boolean {
    return this.#bridge !== undefined
  }

  /** The threads have been linked with those that the earlier run has offered. */
  async open({ socket, token }: ThreadsOffer): Promise<void> {
    const { folder, earlier, threads, counters, onFault } = this.#parts
    const at = socketPathIn(folder, socket)
    const bridge = new RunBridgeLink({
      threads,
      counters,
      way: 'connect',
      path: at.path,
      token,
      onDown: (why) => this.#down(why),
      onFault,
    })
    this.#bridge = bridge
    try {
      await bridge.start()
    } catch (error) {
      this.#bridge = undefined
      // One that has just died is no reason not to serve.
      if (earlier.end === undefined) throw error
    } finally {
      at.close()
    }
  }

  /** From now on it is opened again when it breaks: before, a run that is cut off from the earlier one does not take over. */
  keep(): void {
    this.#isKept = true
    if (this.#bridge === undefined) this.#relinkLater()
  }

  /** A relay thread has died, and its replacement is not linked. */
  async threadDied(why: string): Promise<void> {
    if (this.#bridge === undefined) return
    await this.#close().catch(this.#parts.onFault)
    this.#down(why)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#close()
  }

  async #close(): Promise<void> {
    const bridge = this.#bridge
    this.#bridge = undefined
    await bridge?.stop()
  }

  /** @param why empty: the other side has ended it; then the earlier run may have ended, too */
  #down(why: string): void {
    const { earlier, log } = this.#parts
    this.#bridge = undefined
    if (earlier.end !== undefined || this.#isStopped) return
    if (why !== '') log.warn(LogEvent.runLost, { run: earlier.joined.run, reason: why })
    if (this.#isKept) this.#relinkLater()
  }

  #relinkLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#relink(), RELINK_AFTER_MS)
  }

  async #relink(): Promise<void> {
    const { earlier, log, threads } = this.#parts
    if (this.#isStopped || earlier.end !== undefined || this.#relinks === RELINKS_MAX) return
    this.#relinks++
    try {
      const offer = threads.present.every(Boolean) ? await earlier.link(threads.count) : undefined
      if (offer === undefined) return this.#relinkLater()
      threads.closeRun()
      threads.openRun(offer.threads)
      await this.open(offer)
      log.info(LogEvent.runLinked, { run: earlier.joined.run })
    } catch (error) {
      this.#down((error as Error).message)
    }
  }
}
