// A worker thread and the conversation with it, as the control thread holds them: starts it, carries messages,
// hears of its end and stops it. What becomes of a relay whose thread has ended is `relay-threads.ts`.

import { extname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { FromRelayThread } from '#worker/thread-messages.ts'

/** A thread's entry beside this file, in whichever form the program runs: as written, or compiled. */
export function entryOf(name: string): URL {
  return new URL(`../worker/${name}${extname(import.meta.url)}`, import.meta.url)
}

/** How a thread said that it can't listen. It lives on, and is to be stopped. */
export class ListenError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Saying goodbye takes milliseconds; a thread that hangs does not hear of it. */
const STOP_TIMEOUT_MS = 3_000

/** Imports take a second at most; one that has not listened after so long never will. */
const START_TIMEOUT_MS = 30_000

export interface WorkerHandleParts {
  /** As in "a relay thread". */
  readonly what: string
  onMessage(message: FromRelayThread): void
  /** It has ended without having been asked to; nothing of it runs any more. Called once. */
  onEnd(error: Error): void
  /** It has failed but does not end: nobody knows what it still does. */
  onHang(error: Error): void
}

export class WorkerHandle<To> {
  readonly #worker: Worker
  readonly #parts: WorkerHandleParts
  readonly #listening = Promise.withResolvers<number>()
  readonly #stopped = Promise.withResolvers<void>()
  readonly #exited = Promise.withResolvers<void>()
  /** Why it is about to end. */
  #cause: unknown = undefined
  #isStopping = false

  constructor(entry: URL, workerData: unknown, parts: WorkerHandleParts) {
    this.#parts = parts
    this.#listening.promise.catch(() => undefined) // whoever asks is told
    this.#worker = new Worker(entry, { workerData })
    this.#worker.on('message', (message: FromRelayThread) => this.#onMessage(message))
    // Out of memory, among others; its end follows.
    this.#worker.on('error', (error) => (this.#cause ??= error))
    this.#worker.on('exit', (code) => this.#onExit(code))
  }

  /** The port it listens on; rejects when it can't, with a `ListenError`, has ended before, or hangs. */
  async listening(): Promise<number> {
    const patience = setTimeout(() => {
      this.#listening.reject(new Error(`a ${this.#parts.what} does not come to listen`))
    }, START_TIMEOUT_MS).unref()
    try {
      return await this.#listening.promise
    } finally {
      clearTimeout(patience)
    }
  }

  tell(message: To): void {
    this.#worker.postMessage(message)
  }

  /** How long its event loop has worked and waited since its start; zero when it has ended. */
  get loopTime(): { activeMs: number; idleMs: number } {
    const { active, idle } = this.#worker.performance.eventLoopUtilization()
    return { activeMs: active, idleMs: idle }
  }

  /** Rejects when the thread can't be ended; then the process can't end in order either. */
  async stop(message: To): Promise<void> {
    this.#isStopping = true
    this.tell(message)
    const ended = Promise.race([this.#stopped.promise, this.#exited.promise])
    await within(ended, STOP_TIMEOUT_MS)
    if (await within(this.#worker.terminate(), STOP_TIMEOUT_MS)) return
    throw new Error(`a ${this.#parts.what} does not end`)
  }

  /** Ends one that hangs, as a death of its own. */
  kill(cause: Error): void {
    this.#cause ??= cause
    void this.#worker.terminate()
    this.#expectEnd()
  }

  #onMessage(message: FromRelayThread): void {
    if (message.kind === 'listening') this.#listening.resolve(message.port)
    else if (message.kind === 'listenFailed') this.#onRefusal(message.code, message.message)
    else if (message.kind === 'fault') this.#onFault(message.text)
    else if (message.kind === 'stopped') this.#stopped.resolve()
    else this.#parts.onMessage(message)
  }

  /** Of no use any more: whether it ends by itself or is stopped, nobody need hear of it. */
  #onRefusal(code: string, text: string): void {
    this.#isStopping = true
    this.#listening.reject(new ListenError(code, text))
  }

  #onFault(text: string): void {
    this.#cause = new Error(text)
    this.#expectEnd()
  }

  #expectEnd(): void {
    const hang = setTimeout(() => {
      this.#parts.onHang(new Error(`a ${this.#parts.what} that failed does not end`, { cause: this.#cause }))
    }, STOP_TIMEOUT_MS).unref()
    void this.#exited.promise.then(() => clearTimeout(hang))
  }

  #onExit(code: number): void {
    this.#exited.resolve()
    if (this.#isStopping) return
    const error = new Error(`a ${this.#parts.what} ended by itself with code ${code}`, { cause: this.#cause })
    this.#listening.reject(error)
    this.#parts.onEnd(error)
  }
}

/** False when `promise` has not settled after so long. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return await Promise.race([promise.then(() => true), sleep(ms, false, { ref: false })])
}
