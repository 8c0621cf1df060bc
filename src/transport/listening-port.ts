// The listening half of an acceptor: takes connections while there are descriptors for them. Without one it refuses, and
// when many come it stops listening for a second, so that the system refuses them: accepting in vain costs as much as
// accepting. Knows nothing of what becomes of connections.

import type { AddressInfo, Server } from 'node:net'
import { Counter, type Counters } from '#relay/counters.ts'
import { clientDescriptorsEnd, descriptorsMax, lowestFreeDescriptor } from './descriptors.ts'
import { listenOn } from './listening-server.ts'

/** Refused one by one within a second; each costs 0.1 ms. */
const REFUSALS_MAX = 32
const PAUSE_MS = 1_000

export interface ListenerParts {
  readonly counters: Counters
  readonly now: () => number
  /** It listens, for the first time or again. */
  listening?(): void
}

export class Listener {
  readonly #server: Server
  readonly #parts: ListenerParts
  readonly #clientsEnd = clientDescriptorsEnd(descriptorsMax())
  #endpoint: { host: string; port: number } | undefined = undefined
  #isShared = false
  #refusals = 0
  /** Of the first of those refusals. */
  #refusedMs = -Infinity
  /** Since when it has not been listening; undefined while it does. */
  #pausedMs: number | undefined = undefined
  #isClosed = false

  constructor(server: Server, parts: ListenerParts) {
    this.#server = server
    this.#parts = parts
  }

  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    const address = await listenOn(this.#server, endpoint, isShared)
    this.#endpoint = { host: endpoint.host, port: address.port }
    this.#isShared = isShared
    this.#parts.listening?.()
    return address
  }

  /** Whether a connection with this descriptor may be taken; counts it if it may not. */
  mayTake(descriptor: number): boolean {
    if (descriptor < this.#clientsEnd) return true
    this.#parts.counters.add(Counter.connectionsOutOfDescriptors, 1)
    const nowMs = this.#parts.now()
    if (nowMs - this.#refusedMs >= PAUSE_MS) {
      this.#refusedMs = nowMs
      this.#refusals = 0
    }
    if (++this.#refusals >= REFUSALS_MAX && this.#pausedMs === undefined && !this.#isClosed) {
      this.#pausedMs = nowMs
      this.#server.close()
    }
    return false
  }

  /** Listens again when its pause is over; to be called a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.now()
    if (this.#pausedMs === undefined || nowMs - this.#pausedMs < PAUSE_MS) return
    this.#pausedMs = nowMs
    if (this.#endpoint === undefined || this.#isClosed || lowestFreeDescriptor() >= this.#clientsEnd) return
    const again = listenOn(this.#server, this.#endpoint, this.#isShared)
    // Who has taken the port meanwhile, or the last descriptor, may let it go again.
    again.then(
      () => this.#onAgain(),
      () => undefined,
    )
  }

  #onAgain(): void {
    if (this.#isClosed) return void this.#server.close()
    this.#pausedMs = undefined
    this.#parts.listening?.()
  }

  /** Resolves when the server and the connections that it knows are closed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }
}
