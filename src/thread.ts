// A worker thread and the conversation with it, as the control thread holds them: starts it, carries messages,
// hears of its end and stops it. What becomes of a relay whose thread has ended is `threads.ts`.

import { extname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { FromRelayThread } from './thread-messages.ts'

/** A thread's entry beside this file, in whichever form the program runs: as written, or compiled. */
export function entryOf(name: string): URL {
  return new URL(`./${name}${extname(import.meta.url)}`, import.meta.url)
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

export interface ThreadParts {
  onMessage(message: FromRelayThread): void
  /** It has ended without having been asked to; nothing of it runs any more. Called once. */
  onEnd(error: Error): void
  /** It has failed but does not end: nobody knows what it still does. */
  onHang(error: Error): void
}

export class Thread<To> {
  readonly #worker: Worker
  readonly #parts: ThreadParts
  readonly #listening = Promise.withResolvers<number>()
  readonly #stopped = Promise.withResolvers<void>()
  readonly #exited = Promise.withResolvers<void>()
  /** Why it is about to end. */
  #cause: unknown = undefined
  #isStopping = false

  constructor(entry: URL, workerData: unknown, parts: ThreadParts) {
    this.#parts = parts
    this.#listening.promise.catch(() => undefined) // whoever asks is told
    this.#worker = new Worker(entry, { workerData })
    this.#worker.on('message', (message: FromRelayThread) => this.#onMessage(message))
    // Out of memory, among others; its end follows.
    this.#worker.on('error', (error) => (this.#cause ??= error))
    this.#worker.on('exit', (code) => this.#onExit(code))
  }

  /** The port it listens on; rejects when it can't, with a `ListenError`, or has ended before. */
  async listening(): Promise<number> {
    return await this.#listening.promise
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
    const patience = sleep(STOP_TIMEOUT_MS, undefined, { ref: false })
    await Promise.race([this.#stopped.promise, this.#exited.promise, patience])
    const terminated = this.#worker.terminate().then(() => true)
    if (await Promise.race([terminated, sleep(STOP_TIMEOUT_MS, false, { ref: false })])) return
    throw new Error('a thread does not end')
  }

  #onMessage(message: FromRelayThread): void {
    if (message.kind === 'listening') this.#listening.resolve(message.port)
    else if (message.kind === 'refused') this.#onRefusal(message.code, message.message)
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
    const hang = setTimeout(() => {
      this.#parts.onHang(new Error('a thread that failed does not end', { cause: this.#cause }))
    }, STOP_TIMEOUT_MS).unref()
    void this.#exited.promise.then(() => clearTimeout(hang))
  }

  #onExit(code: number): void {
    this.#exited.resolve()
    if (this.#isStopping) return
    const error = new Error(`a thread ended by itself with code ${code}`, { cause: this.#cause })
    this.#listening.reject(error)
    this.#parts.onEnd(error)
  }
}
