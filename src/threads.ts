// The control thread's hold on the threads that do the work: starts them, gives each its memory, carries
// messages, and stops them. A thread that dies unasked is reported; nothing is hidden.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Settings } from '#config/settings.ts'
import { Counters } from '#relay/counters.ts'
import { Bell, crossingMemory } from '#relay/crossing.ts'
import type { ThreadMemory } from '#relay/neighbours.ts'
import { StunCounters, type StunNumbers } from '#transport/stun-server.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'
import type { FromRelayThread, RelayThreadData, ToRelayThread, ToStunThread } from './thread-messages.ts'

/** How a thread said that it can't listen. */
class ListenError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Saying goodbye takes milliseconds; a thread that hangs does not hear of it. */
const STOP_TIMEOUT_MS = 3_000

/** One worker thread and the conversation with it. */
export class Thread<To> {
  readonly #worker: Worker
  readonly #onMessage: (message: FromRelayThread) => void
  readonly #onFault: (error: Error) => void
  readonly #exited: Promise<void>
  #isStopping = false

  constructor(
    entry: URL,
    workerData: unknown,
    parts: { onMessage: (message: FromRelayThread) => void; onFault: (error: Error) => void },
  ) {
    this.#onMessage = parts.onMessage
    this.#onFault = parts.onFault
    this.#worker = new Worker(entry, { workerData })
    this.#worker.on('error', parts.onFault)
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        resolve()
        if (!this.#isStopping) parts.onFault(new Error(`a thread ended by itself with code ${code}`))
      })
    })
  }

  /** Passes on what it says; settles with the port it listens on. */
  async listening(): Promise<number> {
    return await new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromRelayThread) => {
        if (message.kind === 'listening') resolve(message.port)
        else if (message.kind === 'refused') reject(new ListenError(message.code, message.message))
        else if (message.kind === 'fault') this.#onFault(new Error(message.text))
        else this.#onMessage(message)
      })
      this.#worker.once('error', reject)
    })
  }

  tell(message: To): void {
    this.#worker.postMessage(message)
  }

  /** How long its event loop has worked and waited since its start. */
  get loopTime(): { activeMs: number; idleMs: number } {
    const { active, idle } = this.#worker.performance.eventLoopUtilization()
    return { activeMs: active, idleMs: idle }
  }

  /** Rejects when the thread can't be ended; then the process can't end in order either. */
  async stop(message: To): Promise<void> {
    this.#isStopping = true
    const stopped = new Promise<void>((resolve) => {
      this.#worker.on('message', (said: FromRelayThread) => {
        if (said.kind === 'stopped') resolve()
      })
    })
    this.tell(message)
    await Promise.race([stopped, this.#exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
    const terminated = this.#worker.terminate().then(() => true)
    if (await Promise.race([terminated, sleep(STOP_TIMEOUT_MS, false, { ref: false })])) return
    throw new Error('a thread does not end')
  }
}

export interface RelayThreadsParts {
  readonly settings: Settings
  readonly pem: CertificatePem | undefined
  readonly startedMs: number
  readonly onMessage: (message: FromRelayThread, reply: (message: ToRelayThread) => void) => void
  readonly onFault: (error: Error) => void
}

/** The relay threads, which are one relay to the outside. */
export class RelayThreads {
  readonly counters: readonly Counters[]
  readonly #threads: readonly Thread<ToRelayThread>[]
  readonly #folder = mkdtempSync(join(tmpdir(), 'derpfleet-'))

  constructor(parts: RelayThreadsParts) {
    const { threadCount } = parts.settings
    const memories = Array.from({ length: threadCount }, () => Counters.memory())
    const shared = sharedMemory(threadCount)
    const metaSeed = new Uint8Array(randomBytes(32))
    this.counters = memories.map((memory) => new Counters(memory))
    this.#threads = memories.map((counters, index) => {
      const data: RelayThreadData = {
        settings: parts.settings,
        counters,
        threads: shared === undefined ? undefined : { ...shared, index },
        pem: parts.pem,
        metaSeed,
        startedMs: parts.startedMs,
        socketPath: join(this.#folder, `http-${index}.sock`),
      }
      const reply = (message: ToRelayThread): void => this.#threads[index]?.tell(message)
      return new Thread(entryOf('relay-thread'), data, {
        onMessage: (message) => parts.onMessage(message, reply),
        onFault: parts.onFault,
      })
    })
  }

  /** Has all threads listen; the first finds the port if any will do. */
  async listen(endpoint: { host: string; port: number }): Promise<number> {
    const isShared = this.#threads.length > 1
    let { port } = endpoint
    for (const thread of this.#threads) {
      const listening = thread.listening()
      thread.tell({ kind: 'listen', request: { host: endpoint.host, port, isShared } })
      port = await listening
    }
    return port
  }

  get loopTimes(): { activeMs: number; idleMs: number }[] {
    return this.#threads.map((thread) => thread.loopTime)
  }

  tellAll(message: ToRelayThread): void {
    for (const thread of this.#threads) thread.tell(message)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#threads.map(async (thread) => await thread.stop({ kind: 'stop' })))
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The thread that answers STUN. */
export class StunThread {
  readonly #thread: Thread<ToStunThread>
  readonly #counters: StunCounters

  constructor(endpoint: { host: string; port: number }, onFault: (error: Error) => void) {
    const counters = StunCounters.memory()
    this.#counters = new StunCounters(counters)
    this.#thread = new Thread(
      entryOf('stun-thread'),
      { ...endpoint, counters },
      { onMessage: () => undefined, onFault },
    )
  }

  async listen(): Promise<number> {
    return await this.#thread.listening()
  }

  answer(isAnswering: boolean): void {
    this.#thread.tell({ kind: 'answer', isAnswering })
  }

  read(): StunNumbers {
    return this.#counters.read()
  }

  async stop(): Promise<void> {
    await this.#thread.stop({ kind: 'stop' })
  }
}

/** A thread's entry beside this file, in whichever form the program runs: as written, or compiled. */
function entryOf(name: string): URL {
  return new URL(`./${name}${extname(import.meta.url)}`, import.meta.url)
}

/** What the threads of one relay share; nothing when there is only one. */
function sharedMemory(count: number): Omit<ThreadMemory, 'index'> | undefined {
  if (count === 1) return undefined
  const indices = Array.from({ length: count }, (_, index) => index)
  return {
    claims: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
    bells: indices.map(() => Bell.memory()),
    crossings: indices.map((from) => indices.map((to) => (from === to ? undefined : crossingMemory()))),
  }
}
