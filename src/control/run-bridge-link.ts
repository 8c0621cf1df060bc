// The bridge to another run as the control thread runs it: links the relay threads with the other run's, starts the bridge
// thread over their rings, and takes both away again when either side ends. Not restarted: the owner decides what a run
// without its bridge does. Runs on the control thread.

import type { Counters } from '#relay/counters.ts'
import type { FromRunBridge, RunBridgeData, ToRunBridge } from '#worker/thread-messages.ts'
import type { RelayThreads } from './relay-threads.ts'
import { WorkerHandle, workerEntry } from './worker-handle.ts'

export interface RunBridgeLinkParts {
  readonly threads: Pick<RelayThreads, 'bridge' | 'closeRun'>
  readonly way: RunBridgeData['way']
  /** Of the socket of the run that listens. */
  readonly path: string
  readonly token: string
  /** For what the bridge drops. */
  readonly counters: Counters
  /** The bridge has ended; called once, and not after `stop`. `why` completes "the other run …", and may be empty. */
  onDown(why: string): void
  /** The thread can't be ended. */
  readonly onFault: (error: Error) => void
}

export class RunBridgeLink {
  readonly #parts: RunBridgeLinkParts
  readonly #up = Promise.withResolvers<void>()
  #thread: WorkerHandle<ToRunBridge, FromRunBridge> | undefined = undefined
  #isOver = false

  constructor(parts: RunBridgeLinkParts) {
    this.#parts = parts
    this.#up.promise.catch(() => undefined) // those who wait for `up` get the error
  }

  /**
   * The relay threads have been linked. Resolves when the bridge listens, or is connected.
   *
   * @throws Error; the threads are not linked any more then, since they would wait for the other run's threads for ever
   */
  async start(): Promise<void> {
    const { counters, threads, way, path, token, onFault } = this.#parts
    const memory = threads.bridge
    if (memory === undefined) throw new Error('the relay threads are not linked with another run')
    const data: RunBridgeData = { memory, counters: counters.memory, way, path, token }
    this.#thread = new WorkerHandle(workerEntry('run-bridge-thread'), data, {
      name: 'bridge thread',
      onMessage: (message) => {
        if (message.kind === 'bridgeUp') this.#up.resolve()
        else if (message.kind === 'bridgeDown') this.#down(message.why)
      },
      onEnd: ({ message }) => this.#down(message),
      onHang: onFault,
    })
    try {
      await this.#thread.listening()
    } catch (error) {
      await this.stop().catch(onFault)
      throw error
    }
  }

  /** Resolves when frames pass; rejects if the bridge ends before. */
  get up(): Promise<void> {
    return this.#up.promise
  }

  /** Sends what the threads have written so far, and ends. */
  async stop(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#up.reject(new Error('the bridge to the other run has been ended'))
    await this.#thread?.stop({ kind: 'stop' })
    this.#parts.threads.closeRun()
  }

  #down(why: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#up.reject(new Error(`the bridge to the other run has ended: ${why}`))
    this.#parts.threads.closeRun()
    void this.#thread?.stop({ kind: 'stop' }).catch((error: Error) => this.#parts.onFault(error))
    this.#parts.onDown(why)
  }
}
