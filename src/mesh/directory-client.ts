// The relay's client of the key directory, on the control thread. It announces a key once, however many relay threads
// have it, and locates keys for all of them. A key that was found is watched, so that its next relay is known without
// another lookup.

import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from './key-directory.ts'

/** Each watched key is a subscription. Beyond the limit the oldest ends. */
const WATCHED_MAX = 20_000

/** A key whose clients on one thread have made this relay their home, or no longer do. */
export interface HomeChange {
  readonly key: Uint8Array
  readonly isHome: boolean
}

export interface LocationUpdate {
  readonly key: Uint8Array
  readonly location: KeyLocation
}

export interface DirectoryClientParts {
  readonly directory: KeyDirectory
  /** To one relay thread. */
  readonly send: (thread: number, update: LocationUpdate) => void
  /** To all relay threads. */
  readonly broadcast: (update: LocationUpdate) => void
}

export class DirectoryClient {
  readonly #parts: DirectoryClientParts
  /** The threads that have each home key, by key. */
  readonly #homes = new Map<string, { readonly key: Uint8Array; readonly threads: Set<number> }>()
  /** The function that ends each watch, by key; oldest first. */
  readonly #watches = new Map<string, () => void>()
  #isClosed = false

  constructor(parts: DirectoryClientParts) {
    this.#parts = parts
  }

  homesChanged(thread: number, changes: readonly HomeChange[]): void {
    for (const { key, isHome } of changes) {
      if (isHome) this.#add(thread, key)
      else this.#remove(thread, toHex(key))
    }
  }

  /** The thread has died, and its clients' connections with it. */
  threadEnded(thread: number): void {
    for (const id of this.#homes.keys()) this.#remove(thread, id)
  }

  /** Looks a key up for a thread. */
  locate(thread: number, key: Uint8Array): void {
    const { directory, send } = this.#parts
    directory.locate(key, (location) => {
      if (this.#isClosed) return
      send(thread, { key, location })
      if (location.kind === 'at') this.#watch(key)
    })
  }

  close(): void {
    this.#isClosed = true
    for (const unwatch of this.#watches.values()) unwatch()
    this.#watches.clear()
  }

  #add(thread: number, key: Uint8Array): void {
    const id = toHex(key)
    const home = this.#homes.get(id)
    if (home !== undefined) return void home.threads.add(thread)
    this.#homes.set(id, { key, threads: new Set([thread]) })
    this.#parts.directory.announce(key)
  }

  #remove(thread: number, id: string): void {
    const home = this.#homes.get(id)
    if (home?.threads.delete(thread) !== true || home.threads.size > 0) return
    this.#homes.delete(id)
    this.#parts.directory.withdraw(home.key)
  }

  /** One relay has withdrawn the key; another one may have it. */
  #locateAgain(key: Uint8Array): void {
    const { directory, broadcast } = this.#parts
    directory.locate(key, (location) => {
      if (!this.#isClosed) broadcast({ key, location })
    })
  }

  #watch(key: Uint8Array): void {
    const id = toHex(key)
    if (this.#watches.has(id)) return
    this.#watches.set(
      id,
      this.#parts.directory.watch(key, (relay) => {
        if (relay === undefined) this.#locateAgain(key)
        else this.#parts.broadcast({ key, location: { kind: 'at', relay } })
      }),
    )
    const [oldest] = this.#watches
    if (this.#watches.size <= WATCHED_MAX || oldest === undefined) return
    const [oldestId, unwatch] = oldest
    unwatch()
    this.#watches.delete(oldestId)
  }
}
