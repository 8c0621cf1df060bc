// Asks the relay threads who is on them, part by part: the next part is asked for when the one before has come, so that no thread
// spends more than one part's time in a turn and packets pass in between. Runs on the control thread.

import type { ClientPart } from '#relay/client-part.ts'
import { ClientTable, type TableOptions, type ThreadClients } from './client-table.ts'
import type { RelayThreads } from './relay-threads.ts'

/** A part takes a millisecond, and a busy thread a few more to begin. One that is silent for this long hangs. */
const PART_MS_MAX = 2_000

/** How rows are told of. */
type RowOptions = Pick<TableOptions, 'shown' | 'tenantOf'>

interface Asked {
  readonly thread: number
  /** Undefined: no answer will come. */
  readonly answer: (part: ClientPart | undefined) => void
}

export class ClientCollector {
  readonly #threads: Pick<RelayThreads, 'send' | 'present' | 'count'>
  readonly #rows: RowOptions
  readonly #asked = new Map<number, Asked>()
  #lastId = 0

  constructor(threads: Pick<RelayThreads, 'send' | 'present' | 'count'>, rows: RowOptions) {
    this.#threads = threads
    this.#rows = rows
  }

  /** All clients that are here from now until it resolves, and maybe some that come or leave meanwhile. */
  async collect(): Promise<ClientTable> {
    const { present, count } = this.#threads
    const indices = present.flatMap((isPresent, index) => (isPresent ? [index] : []))
    const told = await Promise.all(indices.map(async (index) => await this.#clientsOf(index)))
    return new ClientTable(told, { ...this.#rows, atMs: Date.now(), threadCount: count })
  }

  /** An answer has come. */
  take(id: number, part: ClientPart): void {
    this.#asked.get(id)?.answer(part)
  }

  threadEnded(thread: number): void {
    for (const asked of this.#asked.values()) if (asked.thread === thread) asked.answer(undefined)
  }

  async #clientsOf(thread: number): Promise<ThreadClients> {
    const parts: ClientPart[] = []
    for (let before = Infinity; before > 0;) {
      const part = await this.#ask(thread, before)
      if (part === undefined) return { thread, parts, isComplete: false }
      parts.push(part)
      before = part.next
    }
    return { thread, parts, isComplete: true }
  }

  async #ask(thread: number, before: number): Promise<ClientPart | undefined> {
    const id = ++this.#lastId
    const { promise, resolve } = Promise.withResolvers<ClientPart | undefined>()
    const timer = setTimeout(() => resolve(undefined), PART_MS_MAX)
    this.#asked.set(id, { thread, answer: resolve })
    this.#threads.send(thread, { kind: 'tellClients', id, before })
    const part = await promise
    clearTimeout(timer)
    this.#asked.delete(id)
    return part
  }
}
