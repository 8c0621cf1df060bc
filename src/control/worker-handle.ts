// One worker thread as the control thread sees it: starts it, carries messages both ways, notices its end and stops it.
// Whether another thread is started in its place is decided by the owner: `relay-threads.ts`, `stun-service.ts`.

import { extname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { WorkerStateMessage } from '#worker/thread-messages.ts'

/** The entry of a thread in the worker folder, in the form in which the program runs: as written, or compiled. */
export function workerEntry(name: string): URL {
  return new URL(`../worker/${name}${extname(import.meta.url)}`, import.meta.url)
}

/** The thread could not listen. It still runs, and must be stopped. */
export class ListenError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** An orderly end takes milliseconds; a thread that hangs never handles the request. */
const STOP_TIMEOUT_MS = 3_000

/** Imports take a second at most; a thread that does not listen after so long never will. */
const START_TIMEOUT_MS = 30_000

export interface WorkerHandleParts<From> {
  /** For messages: "relay thread". */
  readonly name: string
  onMessage(message: From): void
  /** The thread has ended unasked; none of its code runs any more. Called once. */
  onEnd(error: Error): void
  /** The thread has failed but does not end, so what it still does is unknown. */
  onHang(error: Error): void
}

export class WorkerHandle<To, From extends { readonly kind: string }> {
  readonly #worker: Worker
  readonly #parts: WorkerHandleParts<From>
  readonly #listening = Promise.withResolvers<number>()
  readonly #stopped = Promise.withResolvers<void>()
  readonly #exited = Promise.withResolvers<void>()
  /** Why the thread is about to end. */
  #cause: unknown = undefined
  #isStopping = false

  constructor(entry: URL, workerData: unknown, parts: WorkerHandleParts<From>) {
    this.#parts = parts
    this.#listening.promise.catch(() => undefined) // callers of `listening` get the error
    this.#worker = new Worker(entry, { workerData })
    this.#worker.on('message', (message: From | WorkerStateMessage) => this.#onMessage(message))
    // Out of memory, among others; the thread's exit follows.
    this.#worker.on('error', (error) => (this.#cause ??= error))
    this.#worker.on('exit', (code) => this.#onExit(code))
  }

  /**
   * Resolves to the port that the thread listens on.
   *
   * @throws ListenError if it can't listen; Error if it has ended before, or hangs
   */
  async listening(): Promise<number> {
    const timeout = setTimeout(() => {
      this.#listening.reject(
        new Error(`a ${this.#parts.name} did not listen within ${START_TIMEOUT_MS / 1_000} s`),
      )
    }, START_TIMEOUT_MS).unref()
    try {
      return await this.#listening.promise
    } finally {
      clearTimeout(timeout)
    }
  }

  send(message: To): void {
    this.#worker.postMessage(message)
  }

  /** How long the event loop has worked and waited since the thread's start; zero once the thread has ended. */
  get loopTime(): { activeMs: number; idleMs: number } {
    const { active, idle } = this.#worker.performance.eventLoopUtilization()
    return { activeMs: active, idleMs: idle }
  }

  /** Rejects if the thread can't be ended; then the process can't end in order either. */
  async stop(message: To): Promise<void> {
    this.#isStopping = true
    this.send(message)
    const ended = Promise.race([this.#stopped.promise, this.#exited.promise])
    await settlesWithin(ended, STOP_TIMEOUT_MS)
    if (await settlesWithin(this.#worker.terminate(), STOP_TIMEOUT_MS)) return
    throw new Error(`a ${this.#parts.name} does not end`)
  }

  /** Ends a thread that hangs; `onEnd` follows, as after any death. */
  kill(cause: Error): void {
    this.#cause ??= cause
    void this.#worker.terminate()
    this.#expectExit()
  }

  #onMessage(message: From | WorkerStateMessage): void {
    if (isStateMessage(message)) this.#onState(message)
    else this.#parts.onMessage(message)
  }

  #onState(message: WorkerStateMessage): void {
    switch (message.kind) {
      case 'listening':
        return this.#listening.resolve(message.port)
      case 'listenFailed':
        // The owner gets the error from `listening`; a later exit needs no report.
        this.#isStopping = true
        return this.#listening.reject(new ListenError(message.code, message.message))
      case 'fault':
        this.#cause = new Error(message.text)
        return this.#expectExit()
      case 'stopped':
        return this.#stopped.resolve()
    }
  }

  #expectExit(): void {
    const hang = setTimeout(() => {
      this.#parts.onHang(new Error(`a ${this.#parts.name} that failed does not end`, { cause: this.#cause }))
    }, STOP_TIMEOUT_MS).unref()
    void this.#exited.promise.then(() => clearTimeout(hang))
  }

  #onExit(code: number): void {
    this.#exited.resolve()
    if (this.#isStopping) return
    const error = new Error(`a ${this.#parts.name} ended by itself with code ${code}`, { cause: this.#cause })
    this.#listening.reject(error)
    this.#parts.onEnd(error)
  }
}

const STATE_KINDS: ReadonlySet<string> = new Set<WorkerStateMessage['kind']>([
  'listening',
  'listenFailed',
  'fault',
  'stopped',
])

function isStateMessage(message: { readonly kind: string }): message is WorkerStateMessage {
  return STATE_KINDS.has(message.kind)
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return await Promise.race([promise.then(() => true), sleep(ms, false, { ref: false })])
}
