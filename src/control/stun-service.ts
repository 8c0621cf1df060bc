// The control thread's hold on the thread that answers STUN: starts it, starts it anew when it dies or hangs, and
// tells it whether to answer. What it has counted stays counted. Its death is no reason for the relay to end: clients
// that are here stay, and others learn by silence that they had better go elsewhere until it is back.

import { StunCounters, type StunNumbers } from '#transport/stun-server.ts'
import { RestartPolicy } from './restart-policy.ts'
import { entryOf, ListenError, WorkerHandle } from './worker-handle.ts'
import type { StunThreadData, ToStunThread } from '#worker/thread-messages.ts'

/** When it dies again and again: often enough to be back soon after what kills it is gone. */
const RESTART_MS_MAX = 30_000
/** Looks without a beat after which it will not come back; it beats every second look. */
const HUNG_LOOKS = 20

export interface StunServiceParts {
  readonly host: string
  readonly port: number
  /** It has died, and is about to be started anew. */
  readonly onDeath: (death: { readonly error: Error; readonly restartInMs: number }) => void
  readonly onRestart: () => void
  /** The runtime warns of something. */
  readonly onWarning: (name: string, message: string) => void
  /** It can't even be ended. */
  readonly onFault: (error: Error) => void
}

export class StunService {
  readonly #parts: StunServiceParts
  readonly #memory = StunCounters.memory()
  readonly #counters = new StunCounters(this.#memory)
  readonly #policy = new RestartPolicy()
  #port: number
  #thread: WorkerHandle<ToStunThread> | undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #deaths = 0
  #isAnswering = true
  #isStarted = false
  #isStopping = false
  #beats = 0
  #silentLooks = 0

  constructor(parts: StunServiceParts) {
    this.#parts = parts
    this.#port = parts.port
    this.#thread = this.#start()
  }

  /** The port; from here on a thread that dies is replaced. */
  async listen(): Promise<number> {
    if (this.#thread === undefined) throw new Error('the STUN thread has died')
    this.#port = await this.#thread.listening()
    this.#isStarted = true
    return this.#port
  }

  answer(isAnswering: boolean): void {
    this.#isAnswering = isAnswering
    this.#thread?.tell({ kind: 'answer', isAnswering })
  }

  read(): StunNumbers {
    return this.#counters.read()
  }

  get deaths(): number {
    return this.#deaths
  }

  /** To be called every second: ends a thread that hangs. Counted in looks, as for relay threads. */
  look(): void {
    const { beats } = this.#counters
    const isSilent = beats === this.#beats && this.#thread !== undefined
    this.#beats = beats
    this.#silentLooks = isSilent ? this.#silentLooks + 1 : 0
    if (this.#silentLooks === HUNG_LOOKS) {
      this.#thread?.kill(new Error(`no sign of life for ${this.#silentLooks} s`))
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#timer)
    await this.#thread?.stop({ kind: 'stop' })
  }

  #start(): WorkerHandle<ToStunThread> {
    const data: StunThreadData = {
      host: this.#parts.host,
      port: this.#port,
      counters: this.#memory,
      isAnswering: this.#isAnswering,
    }
    return new WorkerHandle(entryOf('stun-thread'), data, {
      what: 'STUN thread',
      onMessage: (message) => {
        if (message.kind === 'runtimeWarning') this.#parts.onWarning(message.name, message.text)
      },
      onEnd: (error) => this.#onEnd(error),
      onHang: this.#parts.onFault,
    })
  }

  #onEnd(error: Error): void {
    this.#thread = undefined
    if (!this.#isStarted || this.#isStopping) return
    this.#deaths++
    const restartInMs = this.#policy.died(performance.now()) ?? RESTART_MS_MAX
    this.#parts.onDeath({ error, restartInMs })
    this.#timer = setTimeout(() => void this.#restart(), restartInMs)
  }

  async #restart(): Promise<void> {
    const thread = this.#start()
    this.#thread = thread
    try {
      await thread.listening()
      // Whether to answer may have changed while it began to.
      thread.tell({ kind: 'answer', isAnswering: this.#isAnswering })
      if (!this.#isStopping) this.#parts.onRestart()
    } catch (error) {
      // One that has died meanwhile has been taken care of.
      if (this.#isStopping || this.#thread !== thread) return
      if (!(error instanceof ListenError)) return thread.kill(error as Error)
      await thread.stop({ kind: 'stop' }).catch(this.#parts.onFault)
      this.#onEnd(error)
    }
  }
}
