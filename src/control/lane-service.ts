// The lane's thread as the control thread runs it: starts it with its roster and with what an earlier one knew, restarts it when it
// dies or hangs, keeps its state in the state folder, and asks it who is here. To the relay threads it is one more thread with keys.
// The death of the lane does not end the relay. Runs on the control thread.
//
// Contract: of two runs of one relay, only one has the port: the earlier one releases it, with its state written, before the later
// one reads the state.

import { join } from 'node:path'
import { reasonOf } from '#fleet/problem.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { LaneSettings } from '#config/settings.ts'
import { LaneCounters, type LaneNumbers } from '#lane/lane-counters.ts'
import { LANE_STATE_BYTES_MAX } from '#lane/lane-memory.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { Reloads } from '#ops/reloads.ts'
import type { FromLaneThread, LaneMember, LaneThreadData, ToLaneThread } from '#worker/thread-messages.ts'
import { relayNiceness } from '#worker/thread-priority.ts'
import type { RelayAdmission } from './admission.ts'
import type { FileReload } from './content-file.ts'
import { RosterFile } from './roster-file.ts'
import { withListenError } from './listen-error.ts'
import { GUEST_THREAD } from '#interthread/thread-memory.ts'
import type { KeyDirectoryService } from './key-directory-service.ts'
import type { RelayThreads } from './relay-threads.ts'
import { RestartPolicy } from './restart-policy.ts'
import type { Service } from './service.ts'
import { SilenceWatch } from './silence-watch.ts'
import { readStateFile, replaceStateFile } from './state-file.ts'
import { ListenError, WorkerHandle, workerEntry } from './worker-handle.ts'

const FILE = 'lane.txt'
/** The delay once deaths pile up: members notice an outage of seconds. */
const RESTART_MS_MAX = 5_000
const LOOK_MS = 1_000
/** While another run still has the port. */
const PORT_TRIES = 20
const PORT_MS = 250
/** A thread at work answers within a turn. */
const ANSWER_MS_MAX = 2_000

export interface LaneServiceParts {
  readonly settings: LaneSettings
  readonly threads: Pick<RelayThreads, 'joinGuest' | 'leaveGuest'>
  readonly admission: Pick<RelayAdmission, 'bans'>
  /** Undefined without a key directory. */
  readonly keyDirectory: Pick<KeyDirectoryService, 'homesChanged' | 'threadEnded'> | undefined
  /** Undefined without a state folder that the relay can use. */
  readonly stateFolder: string | undefined
  readonly log: Log
  readonly reloads: Reloads
  /** The lane can't be ended. */
  readonly onFault: (error: Error) => void
}

type LaneHandle = WorkerHandle<ToLaneThread, FromLaneThread>

export class LaneService implements Service {
  readonly #parts: LaneServiceParts
  readonly #memory = LaneCounters.memory()
  readonly #counters = new LaneCounters(this.#memory)
  readonly #policy = new RestartPolicy()
  readonly #silence = new SilenceWatch()
  readonly #roster: RosterFile
  readonly #questions = new Map<number, (members: readonly LaneMember[]) => void>()
  #endpoint: Endpoint
  #thread: LaneHandle | undefined = undefined
  #restarting: NodeJS.Timeout | undefined = undefined
  #looking: NodeJS.Timeout | undefined = undefined
  #state = ''
  #writing: Promise<void> = Promise.resolve()
  #isWriteDue = false
  #hasWriteFailed = false
  #deaths = 0
  #asked = 0
  #hasStarted = false
  #isStopping = false

  constructor(parts: LaneServiceParts) {
    this.#parts = parts
    const { settings, log, reloads } = parts
    this.#endpoint = settings.endpoint
    this.#roster = new RosterFile({
      path: settings.rosterPath,
      roster: settings.roster,
      log,
      reloads,
      onRoster: (roster) => this.#thread?.send({ kind: 'roster', roster }),
    })
  }

  /** Resolves when the thread listens; from then on a thread that dies is replaced. */
  async start(): Promise<void> {
    this.#roster.start()
    this.#state = this.#readState()
    this.#endpoint = await withListenError('lane', '-lane', this.#endpoint, async () => await this.#listen())
    this.#hasStarted = true
    this.#looking = setInterval(() => this.#look(), LOOK_MS)
    this.#looking.unref()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#restarting)
    clearInterval(this.#looking)
    this.#roster.stop()
    await this.#thread?.stop({ kind: 'stop' })
    if (this.#thread !== undefined) this.#leave()
    await this.#writing
  }

  async reload(): Promise<readonly FileReload[]> {
    return [await this.#roster.reload()]
  }

  /** Where the thread listens; before the start, where it is to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  get publicKey(): Uint8Array {
    return this.#parts.settings.key.publicKey
  }

  get deaths(): number {
    return this.#deaths
  }

  read(): LaneNumbers {
    return this.#counters.read()
  }

  /** The members as they are now; undefined: the thread does not answer. */
  async members(): Promise<readonly LaneMember[] | undefined> {
    const thread = this.#thread
    if (thread === undefined) return undefined
    const id = this.#asked++
    return await new Promise((resolve) => {
      const timeout = setTimeout(() => answered(undefined), ANSWER_MS_MAX)
      const answered = (members: readonly LaneMember[] | undefined): void => {
        clearTimeout(timeout)
        this.#questions.delete(id)
        resolve(members)
      }
      this.#questions.set(id, answered)
      thread.send({ kind: 'tellMembers', id })
    })
  }

  // ── the thread ──

  /** Another run that has just released the port may take a moment to close it. */
  async #listen(): Promise<number> {
    for (let left = PORT_TRIES; ; left--) {
      const thread = this.#startThread()
      try {
        return await thread.listening()
      } catch (error) {
        await thread.stop({ kind: 'stop' })
        this.#leave()
        const isBusy = error instanceof ListenError && error.code === 'EADDRINUSE'
        if (!isBusy || left === 0 || this.#isStopping) throw error
        await new Promise((resolve) => {
          setTimeout(resolve, PORT_MS)
        })
      }
    }
  }

  #startThread(): LaneHandle {
    const { admission, settings, threads, onFault, log } = this.#parts
    const threadMemory = threads.joinGuest((message) => this.#thread?.send(message))
    const data: LaneThreadData = {
      ...this.#endpoint,
      counters: this.#memory,
      threads: threadMemory,
      privateKey: settings.key.privateKey,
      roster: this.#roster.roster,
      refused: admission.bans.all().map(([key, { forMs }]) => [key, forMs]),
      state: this.#state,
      niceness: relayNiceness(),
    }
    const thread: LaneHandle = new WorkerHandle(workerEntry('lane-thread'), data, {
      name: 'lane thread',
      onMessage: (message) => this.#onMessage(message, log),
      onEnd: (error) => this.#onEnd(thread, error),
      onHang: onFault,
    })
    this.#thread = thread
    return thread
  }

  #onMessage(message: FromLaneThread, log: Log): void {
    switch (message.kind) {
      case 'laneState':
        return this.#keep(message.text)
      case 'laneHome':
        return this.#parts.keyDirectory?.homesChanged(GUEST_THREAD, [message])
      case 'laneMembers':
        return this.#questions.get(message.id)?.(message.members)
      case 'runtimeWarning':
        return log.warn(LogEvent.runtimeWarning, { name: message.name, message: message.text })
    }
  }

  /** The relay threads forget what the thread had. */
  #leave(): void {
    this.#thread = undefined
    this.#parts.threads.leaveGuest()
    this.#parts.keyDirectory?.threadEnded(GUEST_THREAD)
  }

  #onEnd(thread: LaneHandle, error: Error): void {
    if (this.#thread !== thread) return
    this.#leave()
    if (!this.#hasStarted || this.#isStopping) return
    this.#deaths++
    this.#restartLater(error)
  }

  #restartLater(error: unknown): void {
    const restartInMs = this.#policy.died(performance.now()) ?? RESTART_MS_MAX
    this.#parts.log.error(LogEvent.laneDied, { error, restartInMs })
    this.#restarting = setTimeout(() => void this.#restart(), restartInMs)
  }

  async #restart(): Promise<void> {
    try {
      await this.#listen()
      if (!this.#isStopping) this.#parts.log.info(LogEvent.laneRestarted)
    } catch (error) {
      if (!this.#isStopping) this.#restartLater(error)
    }
  }

  /** Ends a thread that hangs. */
  #look(): void {
    const fault = this.#silence.look(this.#thread && this.#counters.sweeps)
    if (fault !== undefined) this.#thread?.kill(fault)
  }

  // ── its state ──

  get #path(): string | undefined {
    return this.#parts.stateFolder && join(this.#parts.stateFolder, FILE)
  }

  #readState(): string {
    if (this.#path === undefined) return ''
    try {
      return readStateFile(this.#path, LANE_STATE_BYTES_MAX)
    } catch {
      // There is none, or none that can be used: members register again.
      return ''
    }
  }

  /** Written one after another; of several that come during a write, the last one. */
  #keep(text: string): void {
    this.#state = text
    if (this.#path === undefined || this.#isWriteDue) return
    this.#isWriteDue = true
    this.#writing = this.#writing.then(async () => {
      this.#isWriteDue = false
      await this.#write(this.#path ?? '')
    })
  }

  async #write(path: string): Promise<void> {
    try {
      await replaceStateFile(path, this.#state)
      this.#hasWriteFailed = false
    } catch (error) {
      if (!this.#hasWriteFailed) this.#parts.log.warn(LogEvent.laneNotKept, { path, reason: reasonOf(error) })
      this.#hasWriteFailed = true
    }
  }
}
