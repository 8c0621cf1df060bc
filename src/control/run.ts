// This process as one run of its relay: at most two live on a host at once, and share the ports while the older one hands
// over to the newer one. Finds the run before this one and joins it, lets the next one join, and says which of the two is in
// charge of what must exist once: the admin port, STUN, certificates, the state folder's sockets. Runs on the control thread.
// docs/upgrade.md describes it to operators.
//
// Contract: an earlier run serves on until this one is ready. Of several runs that start at once, one becomes the next.

import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { CarriedSeries } from '#ops/carried-series.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MetricFamily } from '#ops/metric-family.ts'
import type { StunNumbers } from '#ops/metrics.ts'
import { packageVersion } from '#ops/version.ts'
import { Counters, type CounterSnapshot } from '#relay/counters.ts'
import { EarlierLink } from './earlier-link.ts'
import { EarlierRun, HAND_OVER_MS_MAX } from './earlier-run.ts'
import { LaterRun } from './later-run.ts'
import type { RelayThreads } from './relay-threads.ts'
import { RunChannel } from './run-channel.ts'
import { readToOlderRun, RUN_FORMATS, type RunPorts, type ToOlderRun } from './run-messages.ts'
import { RunSocket } from './run-socket.ts'
import type { Service } from './service.ts'

/** How often the newer run is told what the older one has counted. */
const COUNTERS_MS = 1_000
/** A run may take so long to become ready; most take a second. */
const READY_MS_MAX = 60_000
const READY_LOOK_MS = 100
/** Several runs that start at once, and none that serves: one of them is there soon. */
const CLAIMS_MAX = 5

export interface RunParts {
  /** The relay's state folder; undefined: this process is the relay's only run. */
  readonly folder: string | undefined
  /** Its public key as text. */
  readonly key: string
  readonly threadCount: number
  readonly log: Log
  readonly onFault: (error: Error) => void
}

/** What a run is connected with once its parts are constructed. */
export interface RunningParts {
  readonly threads: RelayThreads
  /** Which checks still fail; empty when this run serves. */
  unready(): readonly string[]
  /** With those of earlier runs; undefined without STUN. */
  stun(): StunNumbers | undefined
  /** The families whose counters go on in the next run, with those of earlier runs. */
  families(): readonly MetricFamily[]
  /** Where this run listens. */
  ports(): RunPorts
  /** Closes what the newer run has from now on: admin port, HTTP, STUN. */
  release(): Promise<void>
  /** Asks for the drain and the end of this run. */
  onHandedOver(): void
  /** What the drain of another run with so many clients takes at most; it has the same settings. */
  handOverMs(clients: number): number
  onTakingOver(): Promise<void>
}

/** What this run does for the one that comes after it. */
type Stage = 'starting' | 'serving' | 'handing over'

export class Run {
  /** From 1; one more than the run before. */
  readonly number: number
  /** What the runs before this one have counted. */
  readonly #carried = new Counters()
  /** The same, of numbers that no relay thread counts. */
  readonly series = new CarriedSeries()
  /** What bridges of this run have dropped. */
  readonly #bridged = new Counters()
  readonly #parts: RunParts
  readonly #socket: RunSocket | undefined
  readonly #earlier: EarlierRun | undefined
  readonly #server: Server
  #stage: Stage = 'starting'
  #isStopped = false
  #running: RunningParts | undefined = undefined
  #link: EarlierLink | undefined = undefined
  #later: LaterRun | undefined = undefined
  #earlierStun: CounterSnapshot = {}
  #timer: NodeJS.Timeout | undefined = undefined

  private constructor(parts: RunParts, socket: RunSocket | undefined, earlier: EarlierRun | undefined) {
    this.#parts = parts
    this.#socket = socket
    this.#earlier = earlier
    this.number = (earlier?.joined.run ?? 0) + 1
    this.#server = createServer((connection) => this.#onConnection(connection))
  }

  /**
   * Joins the run that serves, if there is one.
   *
   * @throws Error if another run is about to become the next one, or can't be joined
   */
  static async begin(parts: RunParts): Promise<Run> {
    const { folder, key, threadCount, log } = parts
    if (folder === undefined) return new Run(parts, undefined, undefined)
    const socket = new RunSocket(folder)
    // The second attempt: a run that has left its socket behind, or has ended meanwhile.
    for (let attempt = 0; attempt < CLAIMS_MAX; attempt++) {
      const earlier = await EarlierRun.join(socket, { key, threads: threadCount })
      const run = new Run(parts, socket, earlier)
      if (earlier === undefined) {
        if (await socket.claim(run.#server)) return run
        run.#server.close()
        await socket.removeStale()
        continue
      }
      const { run: number, version, pid } = earlier.joined
      log.info(LogEvent.runJoined, {
        run: run.number,
        earlier: number,
        earlierVersion: version,
        earlierPid: pid,
      })
      return run
    }
    throw new Error(`another run of this relay starts at the same time`)
  }

  /** Whether this run is in charge of what exists once: it serves, and no later one does. */
  get isNewest(): boolean {
    return this.#stage === 'serving'
  }

  /** Whether a later run is in charge of that. */
  get hasHandedOver(): boolean {
    return this.#stage === 'handing over'
  }

  /** What siblings are told, so that all runs are one relay to them; undefined: this run's own. */
  get instance(): string | undefined {
    return this.#earlier?.joined.instance
  }

  /** Ports on which the earlier run listens. */
  get sharedPorts(): RunPorts {
    return this.#earlier?.ports ?? {}
  }

  /** What is to be added to the counters of this run's threads. */
  get counters(): readonly Counters[] {
    return [this.#carried, this.#bridged]
  }

  /** The numbers of STUN, with those of earlier runs. */
  withEarlierStun(stun: StunNumbers): StunNumbers {
    const named = Object.entries(stun).map(([name, count]) => [
      name,
      count + (this.#earlierStun[stunName(name)] ?? 0),
    ])
    return Object.fromEntries(named) as StunNumbers
  }

  attach(running: RunningParts): void {
    this.#running = running
    const joined = this.#earlier?.joined
    if (joined === undefined) return
    running.threads.startAfter(joined.activity)
    running.threads.openRun(joined.threads)
  }

  /** The other process that lives now; undefined if this run is alone. */
  get other(): string | undefined {
    if (this.#later !== undefined) return `run ${this.number + 1} has joined, and is about to take over`
    const { joined, end } = this.#earlier ?? {}
    if (joined === undefined || end !== undefined) return undefined
    return `run ${joined.run} (version ${joined.version}, process ${joined.pid}) drains`
  }

  /** The process of the run that has joined, or that this one has joined; it may have ended. */
  get otherPid(): number | undefined {
    return this.#later?.pid ?? this.#earlier?.joined.pid
  }

  /** A relay thread has died, and its replacement is not linked with another run: the newer run opens the link again. */
  threadDied(): void {
    const why = 'is not linked, because a relay thread has died'
    void this.#later?.unlink().then(() => this.#onUnlinked(why))
    void this.#link?.threadDied(why)
  }

  /** Ends first in a start that fails, and last in an orderly end. */
  get first(): Service {
    return { start: () => undefined, stop: async () => await this.#stop() }
  }

  /** After the relay threads have been started, and before they listen. */
  get bridge(): Service {
    return { start: async () => await this.#startBridge(), stop: async () => await this.#link?.stop() }
  }

  /** When everything serves that does not exist once: the earlier run hands over. */
  get takeOver(): Service {
    return { start: async () => await this.#takeOver(), stop: () => undefined }
  }

  async #startBridge(): Promise<void> {
    const earlier = this.#earlier
    const { folder, log, onFault } = this.#parts
    if (earlier === undefined || folder === undefined || this.#running === undefined) return
    const { threads } = this.#running
    this.#link = new EarlierLink({ folder, earlier, threads, counters: this.#bridged, log, onFault })
    earlier.listen({
      onCounters: (counters) => this.#carry(counters),
      onEnd: (why) => void this.#onEarlierEnd(why),
    })
    await this.#link.open(earlier.joined)
  }

  async #takeOver(): Promise<void> {
    const { log } = this.#parts
    const earlier = this.#earlier
    if (earlier !== undefined) {
      await this.#untilReady()
      await this.#assertAlone(earlier)
      await this.#socket?.replace(this.#server)
      const drainMs = this.#running?.handOverMs(this.#carried.get('clientsCurrent')) ?? 0
      const forMs = earlier.end === undefined ? HAND_OVER_MS_MAX + drainMs : 0
      this.#running?.threads.broadcast({ kind: 'otherRunDrains', forMs })
      await this.#running?.onTakingOver()
      if (earlier.end === undefined && !(await earlier.handOver())) {
        log.warn(LogEvent.runHandOverLate, { run: this.number, earlier: earlier.joined.run })
      }
      log.info(LogEvent.runTookOver, { run: this.number, earlier: earlier.joined.run })
    }
    this.#stage = 'serving'
    this.#link?.keep()
  }

  /** @throws Error if this run does not become ready while the earlier one could serve on */
  async #untilReady(): Promise<void> {
    const untilMs = performance.now() + READY_MS_MAX
    while (this.#earlier?.end === undefined) {
      const unready = this.#running?.unready() ?? []
      if (unready.length === 0) return
      if (performance.now() > untilMs) {
        throw new Error(
          `not ready within ${READY_MS_MAX / 1_000} s, so the run before serves on: ${unready.join('; ')}`,
        )
      }
      await pause(READY_LOOK_MS)
    }
  }

  /** @throws Error if the earlier run is cut off from this one and serves on */
  async #assertAlone(earlier: EarlierRun): Promise<void> {
    if (earlier.end === undefined && this.#link?.isUp === true) return
    if ((await this.#socket?.isAlive()) !== true) return
    throw new Error(
      `the link to the run before is lost, and it serves on${earlier.end === undefined ? '' : `: ${earlier.end}`}`,
    )
  }

  // ── the run after this one ──

  #onConnection(connection: Socket): void {
    let later: LaterRun | undefined
    const channel: RunChannel = new RunChannel(connection, {
      onMessage: (fields) => {
        const message = readToOlderRun(fields)
        if (message?.kind === 'join' && later === undefined) later = this.#onJoin(message, channel)
        else if (message?.kind === 'handOver' && later !== undefined) void this.#handOver(later)
        else if (message?.kind === 'link') void later?.relink(message.threads).catch(this.#parts.onFault)
      },
      onClosed: (why) => void later?.end(why),
    })
  }

  #onJoin(request: ToOlderRun & { readonly kind: 'join' }, channel: RunChannel): LaterRun | undefined {
    const format = RUN_FORMATS.findLast((one) => request.formats.includes(one))
    const refusal = this.#refusal(request, format)
    const { folder, log, onFault } = this.#parts
    const { threads } = this.#running ?? {}
    if (refusal !== undefined || format === undefined || threads === undefined || folder === undefined) {
      channel.send({ kind: 'refused', ...refusal })
      return undefined
    }
    const later = new LaterRun({
      folder,
      channel,
      threads,
      counters: this.#bridged,
      onFault,
      onEnd: (why) => this.#onLaterEnd(why),
      onUnlinked: (why) => this.#onUnlinked(why),
    })
    this.#later = later
    const [version, run, { pid }, { instance }] = [packageVersion(), this.number, process, threads]
    const answer = { format, version, run, pid, instance, ports: this.#running?.ports() ?? {} }
    log.info(LogEvent.runJoins, { run: run + 1, laterVersion: request.version, laterPid: request.pid })
    void later.join(request, answer).catch((error: Error) => void later.end(error.message))
    const tell = (): void => later.send({ kind: 'counters', counters: this.snapshot() })
    this.#timer = setInterval(tell, COUNTERS_MS)
    tell()
    return later
  }

  /** Why a run may not join now; undefined if it may. */
  #refusal(
    { formats, key, version }: ToOlderRun & { readonly kind: 'join' },
    format: number | undefined,
  ): { reason: string; mayRetry: boolean } | undefined {
    const own = `run ${this.number}`
    if (key !== this.#parts.key) return { reason: `it has another key, ${this.#parts.key}`, mayRetry: false }
    if (format === undefined) {
      const known = `knows formats ${RUN_FORMATS.join(', ')} of runs' messages`
      const reason = `${own}, version ${packageVersion()}, ${known}, and version ${version} ${formats.join(', ')}; stop it first`
      return { reason, mayRetry: false }
    }
    if (this.#stage === 'starting')
      return { reason: `${own} still starts`, mayRetry: this.#earlier === undefined }
    if (this.#later !== undefined)
      return { reason: `run ${this.number + 1} is about to take over`, mayRetry: false }
    if (this.#earlier !== undefined && this.#earlier.end === undefined) {
      return { reason: `run ${this.number - 1} still drains`, mayRetry: true }
    }
    return undefined
  }

  async #handOver(later: LaterRun): Promise<void> {
    if (this.#stage === 'handing over' || later !== this.#later) return
    const { log, onFault } = this.#parts
    this.#stage = 'handing over'
    log.info(LogEvent.runHandsOver, { run: this.number, later: this.number + 1 })
    try {
      this.#server.close()
      await this.#running?.release()
    } catch (error) {
      onFault(error as Error)
    }
    later.send({ kind: 'handedOver' })
    this.#running?.onHandedOver()
  }

  /** @param why empty: the later run has ended the link, and says why by itself */
  #onUnlinked(why: string): void {
    if (why !== '') this.#parts.log.warn(LogEvent.runLost, { run: this.number + 1, reason: why })
  }

  #onLaterEnd(why: string): void {
    clearInterval(this.#timer)
    this.#later = undefined
    this.#parts.log.warn(LogEvent.runLost, {
      run: this.number + 1,
      reason: why === '' ? 'has closed the connection' : why,
    })
  }

  // ── counters ──

  /** All that this run and those before it have counted. */
  snapshot(): CounterSnapshot {
    const { threads } = this.#running ?? {}
    const total = new Counters().sumOf([...(threads?.counters ?? []), ...this.counters])
    const stun = Object.entries(this.#running?.stun() ?? {}).map(([name, count]) => [stunName(name), count])
    const series = CarriedSeries.snapshot(this.#running?.families() ?? [])
    return { ...total.snapshot(), ...Object.fromEntries(stun), ...series }
  }

  #carry(counters: CounterSnapshot): void {
    this.#earlierStun = counters
    this.#carried.restore(counters)
    this.series.restore(counters)
  }

  // ── ends ──

  async #onEarlierEnd(why: string): Promise<void> {
    this.#carried.clearGauges()
    this.#running?.threads.broadcast({ kind: 'otherRunDrains', forMs: 0 })
    const { log, onFault } = this.#parts
    const run = this.#earlier?.joined.run
    if (why === '') log.info(LogEvent.runEnded, { run })
    else log.warn(LogEvent.runLost, { run, reason: why })
    await this.#link?.stop().catch(onFault)
  }

  async #stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    clearInterval(this.#timer)
    this.#socket?.remove()
    this.#server.close()
    this.#later?.send({ kind: 'ended', counters: this.snapshot() })
    await this.#later?.stop()
    await this.#earlier?.close()
  }
}

function stunName(name: string): string {
  return `stun ${name}`
}
