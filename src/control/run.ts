// This process as one run of its relay: at most two live on a host at once, and share the ports while the older one hands
// over to the newer one. Says which of the two is in charge of what must exist once: the admin port, STUN, renewal of
// certificates, the state folder's sockets. Runs on the control thread. docs/upgrade.md describes it to operators.
//
//                 run.ts: number, charge                   ┌─ run-socket.ts      run.sock, which leads to the run that serves
//   run-takeover.ts          run-entrance.ts               ├─ run-channel.ts     lines of JSON over a connection to it
//   from the earlier run     to the later run     over: ───┤  run-messages.ts    what they mean
//   with earlier-run.ts      with later-run.ts             └─ run-bridge-link.ts the packets' way, over a socket of its own
//                 run-counters.ts: what all runs have counted
//
// Contract: an earlier run serves on until this one is ready. Of several runs that start at once, one becomes the next.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MetricFamily } from '#ops/metric-family.ts'
import type { StunNumbers } from '#ops/metrics.ts'
import type { CounterSnapshot } from '#relay/counters.ts'
import { EarlierRun } from './earlier-run.ts'
import type { RelayThreads } from './relay-threads.ts'
import { RunCounters } from './run-counters.ts'
import { RunEntrance } from './run-entrance.ts'
import type { RunPorts } from './run-messages.ts'
import { RunSocket } from './run-socket.ts'
import { RunTakeover } from './run-takeover.ts'
import type { Service } from './service.ts'
import { removeStaleSockets } from './stale-sockets.ts'

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

/** What a run has that others can join, or that has joined another. */
interface Links {
  readonly socket: RunSocket
  readonly entrance: RunEntrance
  /** Undefined: there was no earlier run. */
  readonly takeover: RunTakeover | undefined
}

export class Run {
  /** From 1; one more than the run before. */
  readonly number: number
  readonly counters = new RunCounters()
  readonly #parts: RunParts
  readonly #earlier: EarlierRun | undefined
  /** Undefined without a state folder. */
  readonly #links: Links | undefined
  /** It serves, or has served. */
  #hasStarted = false
  #isStopped = false
  #running: RunningParts | undefined = undefined

  private constructor(parts: RunParts, socket: RunSocket | undefined, earlier: EarlierRun | undefined) {
    this.#parts = parts
    this.#earlier = earlier
    this.number = (earlier?.joined.run ?? 0) + 1
    this.#links = socket && this.#makeLinks(socket, earlier)
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
        if (await run.#claim(socket)) return run
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
    return this.#hasStarted && !this.hasHandedOver
  }

  /** Whether a later run is in charge of that. */
  get hasHandedOver(): boolean {
    return this.#links?.entrance.hasHandedOver === true
  }

  /** What siblings are told, so that all runs are one relay to them; undefined: this run's own. */
  get instance(): string | undefined {
    return this.#earlier?.joined.instance
  }

  /** Ports on which the earlier run listens. */
  get sharedPorts(): RunPorts {
    return this.#earlier?.ports ?? {}
  }

  /** The other process that lives now; undefined if this run is alone. */
  get other(): string | undefined {
    return this.#links?.entrance.later ?? this.#links?.takeover?.draining
  }

  /** The process of the run that has joined, or that this one has joined; it may have ended. */
  get otherPid(): number | undefined {
    return this.#links?.entrance.laterPid ?? this.#earlier?.joined.pid
  }

  /** The parts of this run have been constructed; none has started. */
  attach(running: RunningParts): void {
    this.#running = running
    this.#links?.takeover?.attach(running.threads)
  }

  /** A relay thread has died, and its replacement is not linked with another run: the newer run opens the link again. */
  threadDied(): void {
    const why = 'is not linked, because a relay thread has died'
    void this.#links?.entrance.threadDied(why)
    void this.#links?.takeover?.threadDied(why)
  }

  // ── as services, in the order of their start ──

  /** Ends first in a start that fails, and last in an orderly end. */
  get first(): Service {
    return { start: () => undefined, stop: async () => await this.#stop() }
  }

  /** After the relay threads have been started, and before they listen. */
  get bridge(): Service {
    const takeover = this.#links?.takeover
    return { start: async () => await takeover?.link(), stop: async () => await takeover?.unlink() }
  }

  /** When everything serves that does not exist once: the earlier run hands over. */
  get takeOver(): Service {
    return { start: async () => await this.#takeOver(), stop: () => undefined }
  }

  #makeLinks(socket: RunSocket, earlier: EarlierRun | undefined): Links {
    const { folder = '', key, log, onFault } = this.#parts
    const { number, counters } = this
    const entrance = new RunEntrance({
      folder,
      key,
      number,
      log,
      onFault,
      bridged: counters.bridged,
      snapshot: () => this.#snapshot(),
      refusal: () => this.#refusal(),
      ports: () => this.#running?.ports() ?? {},
      handOver: async () => await this.#running?.release(),
      onHandedOver: () => this.#running?.onHandedOver(),
    })
    const takeover =
      earlier &&
      new RunTakeover({
        folder,
        number,
        earlier,
        log,
        onFault,
        bridged: counters.bridged,
        onCounters: (snapshot) => counters.carry(snapshot),
        onEarlierEnded: () => counters.earlierEnded(),
      })
    return { socket, entrance, takeover }
  }

  /** Makes this the run that others find. Of several at once one succeeds. */
  async #claim(socket: RunSocket): Promise<boolean> {
    const server = this.#links?.entrance.server
    if (server === undefined || (await socket.claim(server))) return true
    server.close()
    await socket.removeStale()
    return false
  }

  async #takeOver(): Promise<void> {
    const { socket, entrance, takeover } = this.#links ?? {}
    await takeover?.takeOver({
      drainMs: () => this.#running?.handOverMs(this.counters.earlierClients) ?? 0,
      onTakingOver: async () => await this.#running?.onTakingOver(),
      unready: () => this.#running?.unready() ?? [],
      isEarlierAlive: async () => (await socket?.isAlive()) === true,
      replaceSocket: async () => entrance && (await socket?.replace(entrance.server)),
      giveSocketBack: async () => (await socket?.giveBack()) === true,
    })
    socket?.keep()
    this.#hasStarted = true
    if (this.#running !== undefined) entrance?.open(this.#running.threads)
    if (this.#parts.folder !== undefined) void removeStaleSockets(this.#parts.folder)
  }

  /** Why none may join now; undefined if one may. */
  #refusal(): { reason: string; mayRetry: boolean } | undefined {
    const earlier = this.#earlier
    if (earlier === undefined || earlier.end !== undefined) return undefined
    const reason = `run ${earlier.joined.run} still drains (process ${earlier.joined.pid})`
    return { reason, mayRetry: true }
  }

  #snapshot(): CounterSnapshot {
    const running = this.#running
    return this.counters.snapshot({
      threads: running?.threads.counters ?? [],
      stun: running?.stun(),
      families: running?.families() ?? [],
    })
  }

  async #stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    await this.#links?.socket.remove()
    await this.#links?.entrance.stop()
    await this.#links?.takeover?.stop()
  }
}
