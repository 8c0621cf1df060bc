// The STUN thread as the control thread runs it: starts it, restarts it when it dies or hangs, and tells it whether to
// answer. Its counters survive restarts. The death of the STUN thread does not end the relay: present clients stay, and
// other clients choose another relay while this one's STUN is silent.

import type { Endpoint } from '#config/endpoint.ts'
import type { InheritedSocket } from '#transport/inherited-sockets.ts'
import type { Native } from '#transport/native.ts'
import { StunCounters, type StunNumbers } from '#transport/stun-server.ts'
import type { FromStunThread, StunThreadData, ToStunThread } from '#worker/thread-messages.ts'
import type { StunRequests } from '#worker/stun-sample.ts'
import { withListenError } from './listen-error.ts'
import { RestartPolicy } from './restart-policy.ts'
import type { Service } from './service.ts'
import { SilenceWatch } from './silence-watch.ts'
import { ListenError, WorkerHandle, workerEntry } from './worker-handle.ts'

/** The delay once deaths pile up: short enough that STUN is back soon after their cause is gone. */
const RESTART_MS_MAX = 30_000

export interface StunServiceParts {
  readonly endpoint: Endpoint
  /** Sockets that are open there already; empty: the thread makes its own. */
  readonly inherited: readonly InheritedSocket[]
  readonly native: Native | undefined
  /** The thread has died and will be restarted. */
  onDeath(death: { readonly error: Error; readonly restartInMs: number }): void
  onRestart(): void
  /** Requests were answered. */
  onRequests(requests: StunRequests): void
  /** The runtime emitted a warning in the thread. */
  onWarning(name: string, message: string): void
  /** The thread can't be ended. */
  onFault(error: Error): void
}

type StunHandle = WorkerHandle<ToStunThread, FromStunThread>

export class StunService implements Service {
  readonly #parts: StunServiceParts
  readonly #memory = StunCounters.memory()
  readonly #counters = new StunCounters(this.#memory)
  readonly #policy = new RestartPolicy()
  readonly #silence = new SilenceWatch()
  #endpoint: Endpoint
  #thread: StunHandle | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #deaths = 0
  #isAnswering = true
  #hasStarted = false
  #isStopping = false

  constructor(parts: StunServiceParts) {
    this.#parts = parts
    this.#endpoint = parts.endpoint
  }

  /** Resolves when the thread listens; from then on a thread that dies is replaced. */
  async start(): Promise<void> {
    const thread = this.#startThread()
    this.#thread = thread
    this.#endpoint = await withListenError(
      'STUN',
      '-stun-port',
      this.#endpoint,
      async () => await thread.listening(),
    )
    this.#hasStarted = true
  }

  /** Where the thread listens; before the start, where it is to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  answer(isAnswering: boolean): void {
    this.#isAnswering = isAnswering
    this.#thread?.send({ kind: 'answer', isAnswering })
  }

  read(): StunNumbers {
    return this.#counters.read()
  }

  get deaths(): number {
    return this.#deaths
  }

  /** To be called every second: ends a thread that hangs. */
  look(): void {
    if (this.#isStopping) return
    const fault = this.#silence.look(this.#thread && this.#counters.sweeps)
    if (fault !== undefined) this.#thread?.kill(fault)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#timer)
    await this.#thread?.stop({ kind: 'stop' })
  }

  #startThread(): StunHandle {
    const data: StunThreadData = {
      ...this.#endpoint,
      counters: this.#memory,
      inherited: this.#ownSockets(),
      isAnswering: this.#isAnswering,
    }
    return new WorkerHandle(workerEntry('stun-thread'), data, {
      name: 'STUN thread',
      onMessage: (message) => {
        if (message.kind === 'stunRequests') this.#parts.onRequests(message)
        else this.#parts.onWarning(message.name, message.text)
      },
      onEnd: (error) => this.#onEnd(error),
      onHang: (error) => this.#parts.onFault(error),
    })
  }

  /** The inherited sockets as the thread may close them. Without native calls only the first thread can have them. */
  #ownSockets(): StunThreadData['inherited'] {
    const { inherited, native } = this.#parts
    if (native === undefined) return this.#hasStarted ? [] : inherited
    const own = inherited.map(({ descriptor, host }) => ({ descriptor: native.duplicate(descriptor), host }))
    return own.filter(({ descriptor }) => descriptor >= 0)
  }

  #onEnd(error: Error): void {
    this.#thread = undefined
    if (!this.#hasStarted || this.#isStopping) return
    this.#deaths++
    const restartInMs = this.#policy.died(performance.now()) ?? RESTART_MS_MAX
    this.#parts.onDeath({ error, restartInMs })
    this.#timer = setTimeout(() => void this.#restart(), restartInMs)
  }

  async #restart(): Promise<void> {
    const thread = this.#startThread()
    this.#thread = thread
    try {
      await thread.listening()
      // `answer` may have been called before the thread could handle it.
      thread.send({ kind: 'answer', isAnswering: this.#isAnswering })
      if (!this.#isStopping) this.#parts.onRestart()
    } catch (error) {
      // If the thread has died meanwhile, `#onEnd` has handled it.
      if (this.#isStopping || this.#thread !== thread) return
      if (!(error instanceof ListenError)) return thread.kill(error as Error)
      await thread.stop({ kind: 'stop' }).catch((stopError: Error) => this.#parts.onFault(stopError))
      this.#onEnd(error)
    }
  }
}
