// A port that listens for connections, as the lower half of an acceptor: refuses connections for which there are no
// descriptors. When it must refuse many, it stops listening for a second, so that the system refuses them: accepting a
// connection only to close it costs as much as accepting. Not concerned with accepted connections after that.

import type { AddressInfo, Server } from 'node:net'
import { Counter, type Counters } from '#relay/counters.ts'
import { clientDescriptorsEnd, descriptorsMax, lowestFreeDescriptor } from './descriptors.ts'

/** Connections refused one by one within a second; each costs 0.1 ms. */
const REFUSALS_MAX = 32
const PAUSE_MS = 1_000
/** Connections that wait in the system to be accepted while a storm of reconnects is worked off. */
const BACKLOG = 8_192

interface ListenAddress {
  readonly host: string
  readonly port: number
}

export interface ListeningPortParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The port listens, for the first time or again after a pause. */
  onListening?(): void
}

export class ListeningPort {
  readonly #server: Server
  readonly #parts: ListeningPortParts
  readonly #clientsEnd = clientDescriptorsEnd(descriptorsMax())
  #endpoint: ListenAddress | undefined = undefined
  #isShared = false
  /** Since `#refusalsSinceMs`. */
  #refusals = 0
  #refusalsSinceMs = -Infinity
  /** When listening was stopped, or last failed to start again; undefined while it listens. */
  #pausedMs: number | undefined = undefined
  #isClosed = false

  constructor(server: Server, parts: ListeningPortParts) {
    this.#server = server
    this.#parts = parts
  }

  async listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    const address = await listenOn(this.#server, endpoint, isShared)
    this.#endpoint = { host: endpoint.host, port: address.port }
    this.#isShared = isShared
    this.#parts.onListening?.()
    return address
  }

  /** Returns whether a connection with this descriptor may be kept; counts it if not. */
  mayKeep(descriptor: number): boolean {
    if (descriptor < this.#clientsEnd) return true
    this.#parts.counters.add(Counter.connectionsOutOfDescriptors, 1)
    const nowMs = this.#parts.now()
    if (nowMs - this.#refusalsSinceMs >= PAUSE_MS) {
      this.#refusalsSinceMs = nowMs
      this.#refusals = 0
    }
    if (++this.#refusals >= REFUSALS_MAX && this.#pausedMs === undefined && !this.#isClosed) {
      this.#pausedMs = nowMs
      this.#server.close()
    }
    return false
  }

  /** Listens again after a pause; to be called a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.now()
    if (this.#pausedMs === undefined || nowMs - this.#pausedMs < PAUSE_MS) return
    this.#pausedMs = nowMs
    if (this.#endpoint === undefined || this.#isClosed || lowestFreeDescriptor() >= this.#clientsEnd) return
    // If another process has taken the port or the last descriptor meanwhile, the next pause tries again.
    listenOn(this.#server, this.#endpoint, this.#isShared).then(
      () => this.#onListeningAgain(),
      () => undefined,
    )
  }

  #onListeningAgain(): void {
    if (this.#isClosed) return void this.#server.close()
    this.#pausedMs = undefined
    this.#parts.onListening?.()
  }

  /** Refuses connections from now on. The system resets those that wait to be accepted. */
  stopListening(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#server.close()
  }

  /** Resolves when the server and the connections that it knows of are closed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }
}

/** Rejects with the system's own error. */
async function listenOn(server: Server, endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: Error): void => {
      server.off('listening', onListening)
      reject(error)
    }
    const onListening = (): void => {
      server.off('error', onError)
      resolve()
    }
    server.once('error', onError)
    server.once('listening', onListening)
    server.listen({ ...endpoint, backlog: BACKLOG, reusePort: isShared })
  })
  return server.address() as AddressInfo
}
