// The way into this run for the one that comes after it: the server behind run.sock. Lets one later run join at a time,
// refuses others with a reason, and hands over when that run asks for it. Owns the later run (`later-run.ts`) while there is
// one. Its other end is `earlier-run.ts` in the later process. Runs on the control thread.
//
//   connection ─→ join ─→ refused, or joined: the threads are linked ─→ handOver ─→ handedOver
//
// Contract: a process that connects and does anything else loses its connection, and nothing else happens. It is only this
// user's processes that can connect. Each step has a time limit, and connections are few.

import { createServer, type Server, type Socket } from 'node:net'
import { cpus } from 'node:os'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { packageVersion } from '#ops/version.ts'
import type { CounterSnapshot, Counters } from '#relay/counters.ts'
import { LaterRun, type LinkedThreads } from './later-run.ts'
import type { RelayThreads } from './relay-threads.ts'
import { RunChannel } from './run-channel.ts'
import { readToOlderRun, RUN_FORMATS, type RunPorts, type ToOlderRun } from './run-messages.ts'

/** How often the newer run is told what the older one has counted. */
const COUNTERS_MS = 1_000
/** Connections that have not joined: runs that start at the same time, and looks whether a run is there. */
const STRANGERS_MAX = 16
/** A later run asks for two things, and for a new link when one breaks. More is for later versions. */
const MESSAGES_MAX = 100
/**
 * Threads of a later run. By default a run has as many as the host has cores; each pair of threads of the two has rings of
 * two mebibytes, so a number from nowhere would cost this run gigabytes.
 */
const THREADS_MAX = Math.max(32, 2 * cpus().length)
/** Of what another run says about itself, in messages. */
const FORMATS_NAMED_MAX = 10
const VERSION_CHARS_MAX = 100

/** How long a later run may take for its steps. */
interface StepTimes {
  /** A run asks to join as soon as it is connected. */
  readonly joinMsMax: number
  /** It connects its bridge at once; its threads must be started before that. */
  readonly connectMsMax: number
  /** A later run needs seconds from joining to taking over, and gives up by itself after a minute and a half. */
  readonly takeOverMsMax: number
}

const STEP_TIMES: StepTimes = { joinMsMax: 10_000, connectMsMax: 30_000, takeOverMsMax: 150_000 }

type JoinRequest = ToOlderRun & { readonly kind: 'join' }

type EntranceThreads = LinkedThreads & Pick<RelayThreads, 'instance'>

interface Refusal {
  readonly reason: string
  /** It may join in a while. */
  readonly mayRetry: boolean
}

export interface RunEntranceParts {
  /** The relay's state folder. */
  readonly folder: string
  /** The relay's public key as text. */
  readonly key: string
  /** Of this run. */
  readonly number: number
  readonly log: Log
  readonly onFault: (error: Error) => void
  /** For what the bridge to the later run drops. */
  readonly bridged: Counters
  /** All that this run and those before it have counted. */
  readonly snapshot: () => CounterSnapshot
  /** Why none may join now; undefined if one may. */
  readonly refusal: () => Refusal | undefined
  /** Where this run listens. */
  readonly ports: () => RunPorts
  /** The later run serves: closes what it has from now on. */
  readonly handOver: () => Promise<void>
  /** The later run has been told. */
  readonly onHandedOver: () => void
}

export class RunEntrance {
  readonly server: Server
  readonly #parts: RunEntranceParts
  readonly #times: StepTimes
  #threads: EntranceThreads | undefined = undefined
  /** Connections that have not joined, the oldest first. */
  readonly #strangers = new Set<RunChannel>()
  #later: LaterRun | undefined = undefined
  /** While there is a later run: tells it what is counted. */
  #teller: NodeJS.Timeout | undefined = undefined
  /** While it has not taken over. */
  #limit: NodeJS.Timeout | undefined = undefined
  #hasHandedOver = false

  constructor(parts: RunEntranceParts, times = STEP_TIMES) {
    this.#parts = parts
    this.#times = times
    this.server = createServer((connection) => this.#onConnection(connection))
    // Out of file descriptors, for instance; the system tells of connections again later.
    this.server.on('error', () => undefined)
  }

  /** From now on the later run can be linked with these. */
  open(threads: EntranceThreads): void {
    this.#threads = threads
  }

  /** The later run serves, or has asked to. */
  get hasHandedOver(): boolean {
    return this.#hasHandedOver
  }

  /** What the later run does; undefined if there is none. */
  get later(): string | undefined {
    if (this.#later === undefined) return undefined
    return `run ${this.#laterNumber} ${this.#hasHandedOver ? 'has taken over' : 'has joined, and is about to take over'}`
  }

  /** Its process; undefined if there is none. */
  get laterPid(): number | undefined {
    return this.#later?.pid
  }

  /** A relay thread has died, and its replacement is not linked with the later run. */
  async threadDied(why: string): Promise<void> {
    await this.#later?.unlink()
    if (this.#later !== undefined) this.#onUnlinked(why)
  }

  /** This run ends: the later one is given the last numbers. */
  async stop(): Promise<void> {
    this.server.close()
    for (const stranger of this.#strangers) stranger.break('')
    this.#clearTimers()
    await this.#later?.finish(() => this.#parts.snapshot())
  }

  get #laterNumber(): number {
    return this.#parts.number + 1
  }

  #onConnection(connection: Socket): void {
    let later: LaterRun | undefined
    let messages = 0
    const limit = setTimeout(() => channel.break('does not ask to join'), this.#times.joinMsMax)
    const forget = (): void => {
      clearTimeout(limit)
      this.#strangers.delete(channel)
    }
    const channel: RunChannel = new RunChannel(connection, {
      onMessage: (fields) => {
        if (++messages > MESSAGES_MAX) return channel.break('sends too many messages')
        const message = readToOlderRun(fields)
        if (message.kind === 'unreadable') return channel.break('sends what this one does not understand')
        if (message.kind === 'handOver') return this.#onHandOver(channel, later)
        if (message.kind === 'link') return this.#onLink(channel, later, message.threads)
        if (message.kind !== 'join') return
        if (later !== undefined) return channel.break('asks to join again')
        later = this.#onJoin(message, channel)
        if (later !== undefined) forget()
      },
      onClosed: (why) => {
        forget()
        void later?.end(why)
      },
    })
    this.#strangers.add(channel)
    const [oldest] = this.#strangers
    if (this.#strangers.size > STRANGERS_MAX) oldest?.break('makes room for others')
  }

  #onJoin(request: JoinRequest, channel: RunChannel): LaterRun | undefined {
    const { bridged, folder, log, number, onFault, ports, snapshot } = this.#parts
    const threads = this.#threads
    const format = RUN_FORMATS.findLast((one) => request.formats.includes(one))
    const refusal = this.#refusal(request, format)
    if (refusal !== undefined || format === undefined || threads === undefined) {
      channel.send({ kind: 'refused', ...refusal })
      return undefined
    }
    const later = new LaterRun({
      folder,
      channel,
      threads,
      counters: bridged,
      connectMsMax: this.#times.connectMsMax,
      onFault,
      onEnd: (why) => this.#onLaterEnd(why),
      onUnlinked: (why) => this.#onUnlinked(why),
    })
    this.#later = later
    const { instance } = threads
    const answer = {
      format,
      version: packageVersion(),
      run: number,
      pid: process.pid,
      instance,
      ports: ports(),
    }
    log.info(LogEvent.runJoins, {
      run: this.#laterNumber,
      laterVersion: request.version,
      laterPid: request.pid,
    })
    void later.join(request, answer).catch((error: Error) => void later.end(error.message))
    const tell = (): void => later.send({ kind: 'counters', counters: snapshot() })
    const { takeOverMsMax } = this.#times
    const late = `has not taken over within ${takeOverMsMax / 1_000} s`
    this.#limit = setTimeout(() => void later.end(late), takeOverMsMax)
    this.#teller = setInterval(tell, COUNTERS_MS)
    tell()
    return later
  }

  /** Why that run may not join now; undefined if it may. */
  #refusal({ formats, key, threads, version }: JoinRequest, format: number | undefined): Refusal | undefined {
    const { number, refusal } = this.#parts
    const own = `run ${number}`
    if (key !== this.#parts.key) return { reason: `it has another key, ${this.#parts.key}`, mayRetry: false }
    if (format === undefined) {
      const known = `knows formats ${RUN_FORMATS.join(', ')} of runs' messages`
      const theirs = formats.slice(0, FORMATS_NAMED_MAX).join(', ')
      const reason = `${own}, version ${packageVersion()}, ${known}, and version ${version.slice(0, VERSION_CHARS_MAX)} ${theirs}; stop it first`
      return { reason, mayRetry: false }
    }
    if (threads > THREADS_MAX) {
      const reason = `it has ${threads} threads, and on this host at most ${THREADS_MAX} may join; stop ${own} first, or set -threads`
      return { reason, mayRetry: false }
    }
    if (this.#hasHandedOver) return { reason: `${own} hands over`, mayRetry: false }
    if (this.#later?.isOver === true) return { reason: `run ${this.#laterNumber} is lost`, mayRetry: true }
    if (this.#later !== undefined) {
      const reason = `run ${this.#laterNumber} is about to take over (process ${this.#later.pid})`
      return { reason, mayRetry: false }
    }
    if (this.#threads === undefined) return { reason: `${own} still starts`, mayRetry: number === 1 }
    return refusal()
  }

  #onHandOver(channel: RunChannel, later: LaterRun | undefined): void {
    if (later === undefined) return channel.break('asks to take over before it has joined')
    // It is being forgotten, and its connection is about to end.
    if (later.isOver) return
    if (!later.hasLinked) return channel.break('asks to take over before its threads are linked')
    if (!this.#hasHandedOver) void this.#handOver(later)
  }

  #onLink(channel: RunChannel, later: LaterRun | undefined, threads: number): void {
    if (later === undefined || !this.#hasHandedOver)
      return channel.break('asks for a new link before it has taken over')
    if (threads > THREADS_MAX) return channel.break('has too many threads')
    void later.relink(threads)
  }

  async #handOver(later: LaterRun): Promise<void> {
    const { handOver, log, number, onFault, onHandedOver } = this.#parts
    this.#hasHandedOver = true
    clearTimeout(this.#limit)
    log.info(LogEvent.runHandsOver, { run: number, later: this.#laterNumber })
    try {
      this.server.close()
      await handOver()
    } catch (error) {
      onFault(error as Error)
    }
    later.send({ kind: 'handedOver' })
    onHandedOver()
  }

  /**
   * Before it has taken over, a later run is of no use any more then, and ends by itself; another one may join. Afterwards
   * it asks for a new link.
   *
   * @param why empty: the later run has ended the link, and says why by itself
   */
  #onUnlinked(why: string): void {
    if (!this.#hasHandedOver) return void this.#later?.end(why)
    if (why !== '') this.#parts.log.warn(LogEvent.runLost, { run: this.#laterNumber, reason: why })
  }

  #onLaterEnd(why: string): void {
    this.#clearTimers()
    this.#later = undefined
    this.#parts.log.warn(LogEvent.runLost, {
      run: this.#laterNumber,
      reason: why === '' ? 'has closed the connection' : why,
    })
  }

  #clearTimers(): void {
    clearTimeout(this.#limit)
    clearInterval(this.#teller)
  }
}
