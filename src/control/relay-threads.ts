// The control thread's hold on the relay threads, which are one relay to the outside: gives each its memory,
// passes messages on, stops them, and starts those anew that die. A death is never silent: it is counted, told to
// the other threads and to whoever keeps the log, and when deaths pile up the whole relay has failed.

import { randomBytes } from 'node:crypto'
import type { Settings } from '#config/settings.ts'
import { Counters } from '#relay/counters.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { AcceptBudget } from '#transport/accept-budget.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'
import { RestartPolicy } from './restart-policy.ts'
import { entryOf, ListenError, WorkerHandle } from './worker-handle.ts'
import type { FromRelayThread, RelayThreadData, ToRelayThread } from '#worker/thread-messages.ts'

export interface RelayThreadsParts {
  readonly settings: Settings
  readonly pem: CertificatePem | undefined
  readonly siblingAuthorities: readonly string[]
  readonly startedMs: number
  readonly onMessage: (message: FromRelayThread, from: SpeakingThread) => void
  /** A thread has died, and is about to be started anew. */
  readonly onDeath: (death: ThreadDeath) => void
  /** One that had died serves again. */
  readonly onRestart: (thread: number) => void
  /** The relay can't go on. */
  readonly onFault: (error: Error) => void
}

/** The thread that has said something. */
export interface SpeakingThread {
  readonly index: number
  tell(message: ToRelayThread): void
}

export interface ThreadDeath {
  readonly thread: number
  readonly error: Error
  /** Connections that ended with it. */
  readonly sessions: number
  readonly restartInMs: number
}

interface LoopTime {
  readonly activeMs: number
  readonly idleMs: number
}

/** A slot among the relay threads; threads come and go in it, its numbers stay. */
interface WorkerSlot {
  readonly index: number
  readonly memory: SharedArrayBuffer
  readonly counters: Counters
  thread: WorkerHandle<ToRelayThread> | undefined
  isServing: boolean
  deaths: number
  /** Of the threads that have died here. */
  pastLoop: LoopTime
  /** Of the present one when last looked at: of one that has died nothing is known any more. */
  lastLoop: LoopTime
}

/** What holds until something else is said, so that a thread that starts later must hear it, too. */
const STANDING: ReadonlySet<ToRelayThread['kind']> = new Set(['bootstrapDns', 'meshKeys', 'siblings'])

const NO_TIME: LoopTime = { activeMs: 0, idleMs: 0 }

export class RelayThreads {
  readonly #parts: RelayThreadsParts
  readonly #slots: readonly WorkerSlot[]
  readonly #neighbourhood: ThreadMemories | undefined
  readonly #accepts = AcceptBudget.memory()
  readonly #metaSeed = new Uint8Array(randomBytes(32))
  readonly #policy = new RestartPolicy()
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Told again to a thread that was not there. */
  readonly #standing = new Map<ToRelayThread['kind'], ToRelayThread>()
  #endpoint: { host: string; port: number } | undefined = undefined
  #isStopping = false
  /** Of the first thread that died before all listened. */
  #startFailure: Error | undefined = undefined

  constructor(parts: RelayThreadsParts) {
    this.#parts = parts
    const { threadCount } = parts.settings
    this.#neighbourhood = threadCount > 1 ? new ThreadMemories() : undefined
    this.#slots = Array.from({ length: threadCount }, (_, index) => makeSlot(index))
    for (const slot of this.#slots) this.#start(slot)
  }

  /** Has all threads listen; the first finds the port if any will do. From here on a thread that dies is replaced. */
  async listen(endpoint: { host: string; port: number }): Promise<number> {
    let { port } = endpoint
    for (const slot of this.#slots) {
      port = await this.#listen(slot, { host: endpoint.host, port })
    }
    // One that listened may have died while others came to.
    if (this.#startFailure !== undefined) throw this.#startFailure
    this.#endpoint = { host: endpoint.host, port }
    return port
  }

  get counters(): readonly Counters[] {
    return this.#slots.map(({ counters }) => counters)
  }

  /** Of each slot: whether a thread takes clients there. */
  get serving(): readonly boolean[] {
    return this.#slots.map(({ isServing }) => isServing)
  }

  /** Of each slot: whether there is a thread, be it one that does not take clients yet. */
  get present(): readonly boolean[] {
    return this.#slots.map(({ thread }) => thread !== undefined)
  }

  /** Ends a thread that hangs; another one is started in its slot, as after any death. */
  replace(thread: number, seconds: number): void {
    this.#slots[thread]?.thread?.kill(new Error(`no sign of life for ${seconds} s`))
  }

  /** Of each slot: how often a thread has died there. */
  get deaths(): readonly number[] {
    return this.#slots.map(({ deaths }) => deaths)
  }

  /** Of each slot: how long event loops have worked and waited. Never falls. */
  readLoopTimes(): readonly LoopTime[] {
    return this.#slots.map((slot) => {
      const { activeMs, idleMs } = slot.thread?.loopTime ?? NO_TIME
      // A thread that is just ending has no numbers any more.
      if (activeMs >= slot.lastLoop.activeMs) slot.lastLoop = { activeMs, idleMs }
      return sum(slot.pastLoop, slot.lastLoop)
    })
  }

  tellAll(message: ToRelayThread): void {
    if (STANDING.has(message.kind)) this.#standing.set(message.kind, message)
    for (const { thread } of this.#slots) thread?.tell(message)
  }

  tell(thread: number, message: ToRelayThread): void {
    this.#slots[thread]?.thread?.tell(message)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    for (const timer of this.#timers) clearTimeout(timer)
    const ends = await Promise.allSettled(
      this.#slots.map(async ({ thread }) => await thread?.stop({ kind: 'stop' })),
    )
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #start(slot: WorkerSlot): void {
    const { index } = slot
    const joining = this.#neighbourhood?.join(index)
    const { settings, pem, siblingAuthorities, startedMs, onMessage, onFault } = this.#parts
    const data: RelayThreadData = {
      settings,
      counters: slot.memory,
      accepts: this.#accepts,
      threads: joining?.memory,
      pem,
      metaSeed: this.#metaSeed,
      siblingAuthorities,
      startedMs,
    }
    const thread = new WorkerHandle<ToRelayThread>(entryOf('relay-thread'), data, {
      what: 'relay thread',
      // Answers go to the thread that asked: to another one its questions' numbers mean something else.
      onMessage: (message) => onMessage(message, { index, tell: (answer) => thread.tell(answer) }),
      onEnd: (error) => this.#onEnd(slot, error),
      onHang: onFault,
    })
    slot.thread = thread
    for (const { to, link } of joining?.news ?? []) {
      this.#slots[to]?.thread?.tell({ kind: 'threadStarted', link })
    }
    for (const message of this.#standing.values()) thread.tell(message)
  }

  async #listen(slot: WorkerSlot, endpoint: { host: string; port: number }): Promise<number> {
    const { thread } = slot
    if (thread === undefined) throw this.#startFailure ?? new Error('a relay thread has died')
    thread.tell({ kind: 'listen', request: { ...endpoint, isShared: this.#slots.length > 1 } })
    const port = await thread.listening()
    // What it said may be all that is left of it.
    slot.isServing = slot.thread === thread
    return port
  }

  /** A thread is no more. Before the relay has listened as a whole, that is a start that failed. */
  #onEnd(slot: WorkerSlot, error: Error): void {
    const sessions = slot.counters.get('connectionsCurrent')
    slot.thread = undefined
    slot.isServing = false
    slot.deaths++
    slot.pastLoop = sum(slot.pastLoop, slot.lastLoop)
    slot.lastLoop = NO_TIME
    slot.counters.endOfThread()
    this.#neighbourhood?.leave(slot.index)
    for (const { thread } of this.#slots) thread?.tell({ kind: 'threadEnded', thread: slot.index })
    if (this.#endpoint === undefined) this.#startFailure ??= error
    if (this.#endpoint === undefined || this.#isStopping) return
    const restartInMs = this.#policy.died(performance.now())
    if (restartInMs === undefined) {
      const { recentDeaths } = this.#policy
      const text = `relay threads died ${recentDeaths} times within a minute, which starting them anew does not mend`
      return this.#parts.onFault(new Error(text, { cause: error }))
    }
    this.#parts.onDeath({ thread: slot.index, error, sessions, restartInMs })
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#restart(slot)
    }, restartInMs)
    this.#timers.add(timer)
  }

  async #restart(slot: WorkerSlot): Promise<void> {
    const endpoint = this.#endpoint
    if (endpoint === undefined) return
    this.#start(slot)
    const { thread } = slot
    try {
      await this.#listen(slot, endpoint)
    } catch (error) {
      // One that has died meanwhile has been taken care of.
      if (this.#isStopping || thread === undefined || slot.thread !== thread) return
      if (!(error instanceof ListenError)) return thread.kill(error as Error)
      await thread.stop({ kind: 'stop' }).catch(this.#parts.onFault)
      return this.#onEnd(slot, error)
    }
    if (!this.#isStopping) this.#parts.onRestart(slot.index)
  }
}

function makeSlot(index: number): WorkerSlot {
  const memory = Counters.memory()
  return {
    index,
    memory,
    counters: new Counters(memory),
    thread: undefined,
    isServing: false,
    deaths: 0,
    pastLoop: NO_TIME,
    lastLoop: NO_TIME,
  }
}

function sum(a: LoopTime, b: LoopTime): LoopTime {
  return { activeMs: a.activeMs + b.activeMs, idleMs: a.idleMs + b.idleMs }
}
