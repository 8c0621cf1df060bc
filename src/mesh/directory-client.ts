// The control thread's counter at the key directory: what the relay threads note of their clients' homes becomes one
// announcement of the whole relay, and their questions are asked for them. What was found is watched, so that a key
// that moves is followed before anybody asks again.

import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from './key-directory.ts'

/** Each watched key is a subscription; the oldest gives way. */
const WATCHED_MAX = 20_000

export interface HomeChange {
  readonly key: Uint8Array
  readonly isHome: boolean
}

/** An answer for one thread, or for all. */
export interface LocationUpdate {
  readonly key: Uint8Array
  readonly where: KeyLocation
}

export interface DirectoryClientParts {
  readonly directory: KeyDirectory
  readonly tell: (thread: number, located: LocationUpdate) => void
  readonly tellAll: (located: LocationUpdate) => void
}

export class DirectoryClient {
  readonly #parts: DirectoryClientParts
  /** The threads on which each home key is, by key. */
  readonly #homes = new Map<string, { readonly key: Uint8Array; readonly threads: Set<number> }>()
  /** What ends watching, by key; the oldest first. */
  readonly #watched = new Map<string, () => void>()
  #isClosed = false

  constructor(parts: DirectoryClientParts) {
    this.#parts = parts
  }

  /** Clients of a thread have noted this relay as their home, or no more. */
  note(thread: number, notes: readonly HomeChange[]): void {
    for (const { key, isHome } of notes) {
      if (isHome) this.#add(thread, key)
      else this.#remove(thread, toHex(key))
    }
  }

  /** The thread has died, and its clients' connections with it. */
  threadEnded(thread: number): void {
    for (const id of this.#homes.keys()) this.#remove(thread, id)
  }

  /** A thread asks where a key is. */
  locate(thread: number, key: Uint8Array): void {
    const { directory, tell } = this.#parts
    directory.locate(key, (where) => {
      if (this.#isClosed) return
      tell(thread, { key, where })
      if (where.kind === 'at') this.#watch(key)
    })
  }

  close(): void {
    this.#isClosed = true
    for (const unwatch of this.#watched.values()) unwatch()
    this.#watched.clear()
  }

  #add(thread: number, key: Uint8Array): void {
    const id = toHex(key)
    const known = this.#homes.get(id)
    if (known !== undefined) return void known.threads.add(thread)
    this.#homes.set(id, { key, threads: new Set([thread]) })
    this.#parts.directory.announce(key)
  }

  #remove(thread: number, id: string): void {
    const known = this.#homes.get(id)
    if (known?.threads.delete(thread) !== true || known.threads.size > 0) return
    this.#homes.delete(id)
    this.#parts.directory.withdraw(known.key)
  }

  /** A relay that had the key has it no more; perhaps another one has. */
  #locateAgain(key: Uint8Array): void {
    const { directory, tellAll } = this.#parts
    directory.locate(key, (where) => {
      if (!this.#isClosed) tellAll({ key, where })
    })
  }

  #watch(key: Uint8Array): void {
    const id = toHex(key)
    if (this.#watched.has(id)) return
    this.#watched.set(
      id,
      this.#parts.directory.watch(key, (relay) => {
        if (relay === undefined) this.#locateAgain(key)
        else this.#parts.tellAll({ key, where: { kind: 'at', relay } })
      }),
    )
    const [oldest] = this.#watched
    if (this.#watched.size <= WATCHED_MAX || oldest === undefined) return
    const [oldestId, unwatch] = oldest
    unwatch()
    this.#watched.delete(oldestId)
  }
}
