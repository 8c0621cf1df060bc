// The relay threads, which are one relay to the outside, as the control thread runs them: gives each slot its memory,
// passes messages on, stops the threads, and restarts those that die. A death is never silent: it is counted, told to the
// other threads and to the log, and when deaths pile up the whole relay has failed.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { Counter, Counters } from '#relay/counters.ts'
import {
  GUEST_THREAD,
  ThreadMemories,
  type BridgeMemory,
  type ThreadMemory,
} from '#interthread/thread-memory.ts'
import { AcceptBudget } from '#transport/accept-budget.ts'
import { DRAIN_CLIENT_MS_MAX, type DrainTimes } from '#relay/relay-drain.ts'
import type { FromRelayThread, RelayThreadData, ToRelayThread } from '#worker/thread-messages.ts'
import { relayNiceness } from '#worker/thread-priority.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { InheritedDescriptors } from './inherited-listeners.ts'
import { LoopTimes } from './loop-time.ts'
import type { LoopTime } from '#ops/metrics.ts'
import { RestartPolicy } from './restart-policy.ts'
import type { Service } from './service.ts'
import { ListenError, WorkerHandle, workerEntry } from './worker-handle.ts'

export interface RelayThreadsParts {
  readonly settings: Settings
  readonly siblingAuthorities: readonly string[]
  readonly hasNative: boolean
  /** Sockets that listen on the DERP port already. */
  readonly inherited: InheritedDescriptors
  /** What an earlier run of this relay tells siblings; undefined: there is none. */
  readonly instance: string | undefined
  onMessage(message: FromRelayThread, from: MessageSource): void
  /** A thread has died and will be restarted. */
  onDeath(death: ThreadDeath): void
  /** The replacement of a thread that had died serves. */
  onRestart(thread: number): void
  /** The relay can't go on. */
  onFault(error: Error): void
}

/** The thread that sent a message. */
export interface MessageSource {
  readonly index: number
  /** Answers that very thread: after a restart the same slot holds another one. */
  send(message: ToRelayThread): void
}

export interface ThreadDeath {
  readonly thread: number
  readonly error: Error
  /** Sessions that ended with it. */
  readonly sessions: number
  /** Undefined: it is not restarted, because the relay drains. */
  readonly restartInMs: number | undefined
}

/** The place of one relay thread. Threads are replaced; the slot's numbers stay. */
interface WorkerSlot {
  readonly index: number
  readonly memory: SharedArrayBuffer
  readonly counters: Counters
  thread: RelayHandle | undefined
  isServing: boolean
  deaths: number
  /** No client is left on the thread, or it has ended. */
  drained: PromiseWithResolvers<void>
  readonly loopTimes: LoopTimes
}

/** How a guest, the lane's thread, is told what relay threads are told of each other. */
type TellGuest = (
  message: Extract<ToRelayThread, { kind: 'threadStarted' | 'threadEnded' | 'endKey' }>,
) => void

type RelayHandle = WorkerHandle<ToRelayThread, FromRelayThread>

/** Messages that hold until the next of their kind: a thread that starts later is sent the last of each. */
const RETAINED_KINDS: ReadonlySet<ToRelayThread['kind']> = new Set([
  'bootstrapDns',
  'certificates',
  'discoOnly',
  'liveSettings',
  'memoryState',
  'meshKeys',
  'publicStatus',
  'publishedPages',
  'siblings',
  'tenants',
])

/** So many that no two runs of a relay are alike. */
const INSTANCE_BYTES = 16

/** Beyond what a thread's drain takes at most: a busy thread is late. */
const DRAIN_MARGIN_MS = 500

export class RelayThreads implements Service {
  /** Tells the runs of this relay from any other relay, to siblings. */
  readonly instance: string
  readonly #parts: RelayThreadsParts
  readonly #slots: readonly WorkerSlot[]
  readonly #memories = new ThreadMemories()
  readonly #accepts = AcceptBudget.memory()
  readonly #policy = new RestartPolicy()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #acknowledgements = new Acknowledgements()
  /** The last message of each retained kind. */
  readonly #retained = new Map<ToRelayThread['kind'], ToRelayThread>()
  /** Undefined until all threads listen. */
  #endpoint: Endpoint | undefined = undefined
  #tellGuest: TellGuest | undefined = undefined
  #isStopping = false
  #isDraining = false
  /** Of the first thread that died before all listened. */
  #startFailure: Error | undefined = undefined

  constructor(parts: RelayThreadsParts) {
    this.#parts = parts
    this.instance = parts.instance ?? randomBytes(INSTANCE_BYTES).toString('hex')
    this.#slots = Array.from({ length: parts.settings.threadCount }, (_, index) => makeSlot(index))
  }

  /** Starts the threads; none listens yet. */
  start(): void {
    for (const slot of this.#slots) this.#startThread(slot)
  }

  /** Makes all threads listen; for port 0 the first one determines the port. From then on a thread that dies is replaced. */
  async listen(endpoint: Endpoint): Promise<number> {
    let { port } = endpoint
    for (const slot of this.#slots) {
      port = await this.#listen(slot, { host: endpoint.host, port })
    }
    // A thread that listened may have died while later ones were about to.
    if (this.#startFailure !== undefined) throw this.#startFailure
    this.#endpoint = { host: endpoint.host, port }
    return port
  }

  get counters(): readonly Counters[] {
    return this.#slots.map(({ counters }) => counters)
  }

  /** By slot: whether a thread accepts clients. */
  get serving(): readonly boolean[] {
    return this.#slots.map(({ isServing }) => isServing)
  }

  /** By slot: whether there is a thread, even if it does not accept clients yet. */
  get present(): readonly boolean[] {
    return this.#slots.map(({ thread }) => thread !== undefined)
  }

  // ── another run of this relay ──

  /** How many there are. */
  get count(): number {
    return this.#slots.length
  }

  /** The count of activity now. */
  get activity(): number {
    return this.#memories.activity
  }

  /** Counts activity on from a run before this one; before the start. */
  startAfter(activity: number): void {
    this.#memories.startAfter(activity)
  }

  /** Links all threads with those of another run; they send it their keys. */
  openRun(threadCount: number): void {
    for (const { to, link } of this.#memories.openRun(threadCount))
      this.send(to, { kind: 'threadStarted', link })
  }

  /** The rings of these links; undefined without another run. */
  get bridge(): BridgeMemory | undefined {
    return this.#memories.bridge
  }

  /** The other run's threads are not linked any more. */
  closeRun(): void {
    for (const thread of this.#memories.closeRun()) this.broadcast({ kind: 'threadEnded', thread })
  }

  /** A thread that is none of these is to be linked with all of them, as if it were one. */
  joinGuest(tell: TellGuest): ThreadMemory {
    const { memory, others } = this.#memories.join(GUEST_THREAD)
    this.#tellGuest = tell
    for (const { to, link } of others) this.send(to, { kind: 'threadStarted', link })
    return memory
  }

  /** That thread has ended. */
  leaveGuest(): void {
    this.#tellGuest = undefined
    this.#memories.leave(GUEST_THREAD)
    this.broadcast({ kind: 'threadEnded', thread: GUEST_THREAD })
  }

  /** Ends a thread that hangs; another one is started in its slot, as after any death. */
  replace(thread: number, seconds: number): void {
    this.#slots[thread]?.thread?.kill(new Error(`no sign of life for ${seconds} s`))
  }

  /** By slot: how often a thread has died. */
  get deaths(): readonly number[] {
    return this.#slots.map(({ deaths }) => deaths)
  }

  /** By slot: how long event loops have worked and waited. Never decreases. */
  readLoopTimes(): readonly LoopTime[] {
    return this.#slots.map(({ thread, loopTimes }) => loopTimes.total(thread?.loopTime))
  }

  broadcast(message: ToRelayThread): void {
    if (RETAINED_KINDS.has(message.kind)) this.#retained.set(message.kind, message)
    for (const { thread } of this.#slots) thread?.send(message)
    if (message.kind === 'endKey') this.#tellGuest?.(message)
  }

  /** Resolves when each thread has handled all that it was sent before, or has ended. */
  async handled(): Promise<void> {
    const present = this.#slots.filter(({ thread }) => thread !== undefined)
    const indices = present.map(({ index }) => index)
    await this.#acknowledgements.of(indices, (mark) => {
      for (const { thread } of present) thread?.send({ kind: 'mark', mark })
    })
  }

  send(thread: number, message: ToRelayThread): void {
    this.#slots[thread]?.thread?.send(message)
  }

  /** Makes all threads refuse connections and move their clients away. Resolves when no client is left. */
  async moveClients(times: DrainTimes): Promise<void> {
    this.#isDraining = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#parts.inherited.close()
    for (const slot of this.#slots) {
      slot.drained = Promise.withResolvers()
      slot.thread?.send({ kind: 'drain', times })
    }
    // A thread that hangs does not answer; without clients there is nothing to wait for.
    const busy = this.#slots.filter(
      ({ counters, thread }) => thread !== undefined && counters.get('connectionsCurrent') > 0,
    )
    const all = Promise.all(busy.map(async ({ drained }) => await drained.promise))
    const limitMs = times.settleMs + times.spreadMs + DRAIN_CLIENT_MS_MAX + DRAIN_MARGIN_MS
    const limit = new AbortController()
    await Promise.race([all, sleep(limitMs, undefined, { signal: limit.signal }).catch(() => undefined)])
    limit.abort()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    for (const timer of this.#timers) clearTimeout(timer)
    const ends = await Promise.allSettled(
      this.#slots.map(async ({ thread }) => await thread?.stop({ kind: 'stop' })),
    )
    for (const { index } of this.#slots) this.#acknowledgements.threadEnded(index)
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #startThread(slot: WorkerSlot): void {
    const { index } = slot
    const joining = this.#memories.join(index)
    const { settings, siblingAuthorities, hasNative } = this.#parts
    const data: RelayThreadData = {
      settings,
      counters: slot.memory,
      accepts: this.#accepts,
      threads: joining.memory,
      instance: this.instance,
      siblingAuthorities,
      hasNative,
      niceness: relayNiceness(),
    }
    const thread: RelayHandle = new WorkerHandle(workerEntry('relay-thread'), data, {
      name: 'relay thread',
      // Question numbers belong to one thread, so an answer must reach that thread or none.
      onMessage: (message) => {
        if (message.kind === 'drained') return slot.drained.resolve()
        if (message.kind === 'marked') return this.#acknowledgements.acknowledged(index, message.mark)
        this.#parts.onMessage(message, { index, send: (answer) => thread.send(answer) })
      },
      onEnd: (error) => this.#onEnd(slot, error),
      onHang: (error) => this.#parts.onFault(error),
    })
    slot.thread = thread
    for (const { to, link } of joining.others) {
      if (to === GUEST_THREAD) this.#tellGuest?.({ kind: 'threadStarted', link })
      else this.send(to, { kind: 'threadStarted', link })
    }
    for (const message of this.#retained.values()) thread.send(message)
  }

  async #listen(slot: WorkerSlot, endpoint: Endpoint): Promise<number> {
    const { thread } = slot
    if (thread === undefined) throw this.#startFailure ?? new Error('a relay thread has died')
    const { inherited } = this.#parts
    const request = {
      ...endpoint,
      inherited: inherited.take(slot.index)?.descriptor,
      // With the other threads, and with another run of this relay.
      isShared: true,
    }
    thread.send({ kind: 'listen', request })
    const port = await thread.listening()
    // The thread may have died since it sent that message.
    slot.isServing = slot.thread === thread
    return port
  }

  /** A thread has ended. Before all threads listen, the start has failed. */
  #onEnd(slot: WorkerSlot, error: Error): void {
    const sessions = slot.counters.get('connectionsCurrent')
    slot.thread = undefined
    slot.isServing = false
    slot.deaths++
    slot.loopTimes.endOfThread()
    if (this.#isDraining && !this.#isStopping) countAsForced(slot.counters)
    slot.counters.endOfThread()
    // The bridge has the rings of the thread that has died: its replacement can't be linked with another run.
    this.closeRun()
    this.#memories.leave(slot.index)
    for (const { thread } of this.#slots) thread?.send({ kind: 'threadEnded', thread: slot.index })
    this.#tellGuest?.({ kind: 'threadEnded', thread: slot.index })
    if (this.#endpoint === undefined) this.#startFailure ??= error
    slot.drained.resolve()
    this.#acknowledgements.threadEnded(slot.index)
    if (this.#endpoint === undefined || this.#isStopping) return
    if (this.#isDraining) {
      return this.#parts.onDeath({ thread: slot.index, error, sessions, restartInMs: undefined })
    }
    const restartInMs = this.#policy.died(performance.now())
    if (restartInMs === undefined) {
      const { recentDeaths } = this.#policy
      const text = `relay threads died ${recentDeaths} times within a minute, so restarting them does not help`
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
    this.#startThread(slot)
    const { thread } = slot
    try {
      await this.#listen(slot, endpoint)
    } catch (error) {
      // If the thread has died meanwhile, `#onEnd` has handled it.
      if (this.#isStopping || thread === undefined || slot.thread !== thread) return
      if (!(error instanceof ListenError)) return thread.kill(error as Error)
      await thread.stop({ kind: 'stop' }).catch((stopError: Error) => this.#parts.onFault(stopError))
      return this.#onEnd(slot, error)
    }
    if (!this.#isStopping) this.#parts.onRestart(slot.index)
  }
}

/** The clients of a thread that has died in a drain are cut off by that. */
function countAsForced(counters: Counters): void {
  counters.add(Counter.drainForced, counters.get('clientsCurrent') - counters.get('siblingsCurrent'))
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
    drained: Promise.withResolvers(),
    loopTimes: new LoopTimes(),
  }
}
