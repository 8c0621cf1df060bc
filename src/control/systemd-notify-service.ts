// Tells the service manager what the relay is doing (sd_notify(3)), for a unit with Type=notify: that it serves, that it
// reads its files again, that it stops, a line of status for `systemctl status`, and signs of life for WatchdogSec=. Runs on
// the control thread. It is the first of all services to start and the last to stop.
//
// Two runs of the relay may be one service (docs/upgrade.md): the one in charge speaks for it, and the other one is silent.
//
// Contract: READY is sent once the relay is ready for clients, or after a time limit: what it waits for (a sibling, a back
// end) may be waiting for it. A sign of life is sent only if the relay threads have shown one.

import type { HealthReport } from '#ops/health.ts'
import type { Service } from './service.ts'
import type { SystemdNotifier } from './systemd-notifier.ts'

const LOOK_MS = 1_000
/** Longer than siblings and admission take; much less than systemd's limit for a start, which is 90 s. */
const READY_MS_MAX = 30_000
/** How often a change of the status is worth a message, and how often one that costs a process is. */
const STATUS_MS_MIN = 2_000
const EXPENSIVE_STATUS_MS_MIN = 60_000
/** A sign of life that is late by one look, or lost once, is no reason to restart the relay. */
const SIGNS_PER_WATCHDOG = 3
/** While it stops, the relay asks for more time again and again: as long as it lives, it needs no limit but its own. */
const EXTEND_EVERY_MS = 5_000
const EXTEND_BY_US = 20_000_000
/** Of a run that has taken a service over: the service manager tells its limit to the first process alone. Three signs in it. */
const UNKNOWN_WATCHDOG_MS = 30_000

export interface SystemdNotifyParts {
  readonly notifier: SystemdNotifier
  /** Undefined: nobody watches. */
  readonly watchdogMs: number | undefined
  /** Whether clients may be sent here. */
  readonly health: () => HealthReport
  /** Whether all relay threads respond. */
  readonly areThreadsAlive: () => boolean
  /** What a relay in service is doing, such as "serving 412 clients, mesh 2/2". */
  readonly activity: () => string
  /** What a relay that stops is doing, such as "draining, 42 clients left". */
  readonly ending: () => string
  /** Whether this process speaks for the service: not while another run of it does. */
  readonly speaks: () => boolean
  /** Monotonic milliseconds, of the clock CLOCK_MONOTONIC. */
  readonly now: () => number
}

export class SystemdNotifyService implements Service {
  readonly #parts: SystemdNotifyParts
  #timer: NodeJS.Timeout | undefined = undefined
  #startedMs = 0
  #isReady = false
  /** Told by the service manager, or assumed. */
  #watchdogMs: number | undefined
  /** The other run is about to fall silent. */
  #isTakingOver = false
  #isStopping = false
  #status = ''
  #statusMs = -Infinity
  #extendedMs = -Infinity
  #signOfLifeMs = -Infinity
  /** When the relay threads last showed a sign of life. */
  #aliveMs = -Infinity

  constructor(parts: SystemdNotifyParts) {
    this.#parts = parts
    this.#watchdogMs = parts.watchdogMs
  }

  start(): void {
    this.#startedMs = this.#parts.now()
    this.#aliveMs = this.#startedMs
    if (this.#isSpeaking) this.#parts.notifier.send({ STATUS: 'starting' })
    this.#timer = setInterval(() => this.look(), LOOK_MS)
  }

  /** Makes this process the main one of the service whose main process is the run that hands over to it. */
  async takeOver(): Promise<void> {
    const { notifier, now, speaks } = this.#parts
    if (speaks()) return
    this.#isTakingOver = true
    this.#isReady = true
    this.#watchdogMs ??= UNKNOWN_WATCHDOG_MS
    this.#status = this.#currentStatus()
    this.#statusMs = now()
    notifier.send({ MAINPID: process.pid, READY: 1, STATUS: this.#status })
    // The other run may end as soon as it has handed over, and the service manager must know by then.
    await notifier.flushed()
  }

  /** To be called when the state may have changed; otherwise it is looked at once a second. */
  look(): void {
    const { areThreadsAlive, ending, now } = this.#parts
    const nowMs = now()
    if (!this.#isSpeaking) return
    if (this.#isStopping || areThreadsAlive()) this.#aliveMs = nowMs
    this.#showLife(nowMs)
    if (this.#isStopping) {
      this.#extend(nowMs)
      return this.#tell(ending(), nowMs)
    }
    const status = this.#currentStatus()
    if (this.#isReady) return this.#tell(status, nowMs)
    const isLate = nowMs - this.#startedMs >= READY_MS_MAX
    if (!isLate && !this.#parts.health().isReady) return
    this.#isReady = true
    this.#parts.notifier.send({ READY: 1, STATUS: status })
    this.#status = status
    this.#statusMs = nowMs
  }

  /** The relay begins to read its files again; `reloaded` follows. */
  reloading(): void {
    const monotonicUs = Math.floor(this.#parts.now() * 1_000)
    if (this.#isReady && !this.#isStopping && this.#isSpeaking)
      this.#parts.notifier.send({ RELOADING: 1, MONOTONIC_USEC: monotonicUs })
  }

  reloaded(): void {
    if (this.#isReady && !this.#isStopping && this.#isSpeaking) this.#parts.notifier.send({ READY: 1 })
  }

  /** The relay begins to drain or to stop. Harmless if it was called before. */
  stopping(): void {
    if (this.#isStopping || this.#timer === undefined) return
    this.#isStopping = true
    if (!this.#isSpeaking) return
    this.#status = this.#parts.ending()
    this.#statusMs = this.#parts.now()
    this.#parts.notifier.send({ STOPPING: 1, STATUS: this.#status })
    this.look()
  }

  /** The drain of the relay begins in the same turn; its state is reported as it is then. */
  async drain(): Promise<void> {
    await Promise.resolve()
    this.stopping()
  }

  async stop(): Promise<void> {
    this.stopping()
    clearInterval(this.#timer)
    await this.#parts.notifier.flushed()
  }

  get #isSpeaking(): boolean {
    if (!this.#parts.speaks()) return this.#isTakingOver
    this.#isTakingOver = false
    return true
  }

  #currentStatus(): string {
    const { isReady, checks } = this.#parts.health()
    if (isReady) return this.#parts.activity()
    const failing = checks.filter(({ isOk }) => !isOk).map(({ name, detail }) => `${name}: ${detail}`)
    return `not ready: ${failing.join('; ')}`
  }

  #tell(status: string, nowMs: number): void {
    const everyMs = this.#parts.notifier.isExpensive ? EXPENSIVE_STATUS_MS_MIN : STATUS_MS_MIN
    if (status === this.#status || nowMs - this.#statusMs < everyMs) return
    this.#status = status
    this.#statusMs = nowMs
    this.#parts.notifier.send({ STATUS: status })
  }

  #extend(nowMs: number): void {
    if (nowMs - this.#extendedMs < EXTEND_EVERY_MS) return
    this.#extendedMs = nowMs
    this.#parts.notifier.send({ EXTEND_TIMEOUT_USEC: EXTEND_BY_US })
  }

  /** The control thread shows that it runs by being here. Threads that hang are replaced within half a minute at most. */
  #showLife(nowMs: number): void {
    const watchdogMs = this.#watchdogMs
    if (watchdogMs === undefined) return
    const everyMs = watchdogMs / SIGNS_PER_WATCHDOG
    if (nowMs - this.#signOfLifeMs < everyMs - LOOK_MS / 2 || nowMs - this.#aliveMs > everyMs) return
    this.#signOfLifeMs = nowMs
    this.#parts.notifier.send({ WATCHDOG: 1 })
  }
}
