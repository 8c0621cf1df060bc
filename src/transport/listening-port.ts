// A port that listens for connections, as the lower half of an acceptor: refuses connections for which there are no
// descriptors. When it must refuse many, it stops listening for a second, so that the system refuses them: accepting a
// connection only to close it costs as much as accepting. Not concerned with accepted connections after that.

import { createServer, type AddressInfo, type Server } from 'node:net'
import { Counter, type Counters } from '#relay/counters.ts'
import { clientDescriptorsEnd, descriptorsMax, lowestFreeDescriptor } from './descriptors.ts'
import { descriptorOf, errorText, type Native } from './native.ts'

/** Connections refused one by one within a second; each costs 0.1 ms. */
const REFUSALS_MAX = 32
const PAUSE_MS = 1_000
/** Connections that wait in the system to be accepted while a storm of reconnects is worked off. */
export const BACKLOG = 8_192
/**
 * libuv accepts one connection per turn of the loop and listening handle. Under load a turn takes 50 ms, so with one handle a
 * relay would let in 20 clients a second when its clients are in most need of it.
 */
const HANDLES = 16
/**
 * Connections inherit the user timeout from the listening socket. Those that were complete before it was set do not: they
 * are accepted soon after the port listens, and are given it one by one.
 */
const UNSET_USER_TIMEOUT_MS = 10_000

export interface ListenAddress {
  readonly host: string
  readonly port: number
  /**
   * A socket that listens there already, such as one of a service manager's. It stays open: it is duplicated, or without
   * native calls taken over once. Undefined: a new socket.
   */
  readonly inherited?: number | undefined
}

/** The limit of how long a remote may not acknowledge, as a socket option. */
export interface UserTimeout {
  readonly native: Native
  readonly ms: number
}

export interface ListeningPortParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** For duplicates of sockets; undefined where native calls do not work. */
  readonly native?: Native | undefined
  /** Undefined: no limit, or it is kept otherwise. */
  readonly userTimeout?: UserTimeout | undefined
  /** The port listens, for the first time or again after a pause: with this server and with duplicates of its socket. */
  onListening?(servers: readonly Server[]): void
}

export class ListeningPort {
  readonly #server: Server
  readonly #parts: ListeningPortParts
  #userTimeout: UserTimeout | undefined
  readonly #clientsEnd = clientDescriptorsEnd(descriptorsMax())
  #endpoint: ListenAddress | undefined = undefined
  #isShared = false
  /** Since `#refusalsSinceMs`. */
  #refusals = 0
  #refusalsSinceMs = -Infinity
  /** When listening was stopped, or last failed to start again; undefined while it listens. */
  #pausedMs: number | undefined = undefined
  /** Since when it has listened, for the first time or again. */
  #listeningMs = -Infinity
  #isClosed = false
  /** Each listens with a handle of its own on the server's socket. */
  #duplicates: Server[] = []

  constructor(server: Server, parts: ListeningPortParts) {
    this.#server = server
    this.#parts = parts
    this.#userTimeout = parts.userTimeout
  }

  async listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    const address = await this.#listenOn(endpoint, isShared)
    this.#endpoint = { ...endpoint, port: address.port }
    this.#isShared = isShared
    this.#parts.onListening?.(this.#servers)
    return address
  }

  /** Rejects with the system's own error. */
  async #listenOn(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    const { native, now } = this.#parts
    const { inherited } = endpoint
    const descriptor = inherited === undefined ? undefined : ownDescriptor(inherited, native)
    const address = await listenOn(this.#server, { ...endpoint, descriptor }, isShared)
    this.#listeningMs = now()
    const result = this.#setUserTimeout(descriptorOf(this.#server))
    if (result < 0) throw new Error(`cannot set TCP_USER_TIMEOUT (${errorText(result)}); use -native off`)
    // Who takes no connections from duplicates needs none.
    if (native !== undefined && this.#parts.onListening !== undefined) this.#openDuplicates(native)
    return address
  }

  /** The port listens without them, too. */
  #openDuplicates(native: Native): void {
    while (this.#duplicates.length < HANDLES - 1) {
      const descriptor = native.duplicate(descriptorOf(this.#server))
      if (descriptor < 0) return
      const duplicate = createServer().on('error', () => undefined)
      this.#duplicates.push(duplicate.listen({ fd: descriptor }, BACKLOG))
    }
  }

  /** Where connections come in: the server and the duplicates. */
  get #servers(): readonly Server[] {
    return [this.#server, ...this.#duplicates.filter(({ listening }) => listening)]
  }

  #closeServers(onClosed?: () => void): void {
    for (const duplicate of this.#duplicates) duplicate.close()
    this.#duplicates = []
    this.#server.close(onClosed)
  }

  /** For connections that come from now on; 0: the kernel's own limit. Without native calls it is not kept here. */
  setUserTimeout(ms: number): void {
    const { native } = this.#parts
    if (native === undefined) return
    this.#userTimeout = { native, ms }
    // A port that pauses sets it when it listens again.
    if (this.#server.listening) this.#setUserTimeout(descriptorOf(this.#server))
  }

  #setUserTimeout(descriptor: number): number {
    const userTimeout = this.#userTimeout
    return userTimeout === undefined ? 0 : userTimeout.native.setUserTimeout(descriptor, userTimeout.ms)
  }

  /** Returns whether a connection with this descriptor may be kept; counts it if not. */
  mayKeep(descriptor: number): boolean {
    if (descriptor < this.#clientsEnd) {
      const { now } = this.#parts
      if (this.#userTimeout !== undefined && now() - this.#listeningMs < UNSET_USER_TIMEOUT_MS)
        this.#setUserTimeout(descriptor)
      return true
    }
    this.#parts.counters.add(Counter.connectionsOutOfDescriptors, 1)
    const nowMs = this.#parts.now()
    if (nowMs - this.#refusalsSinceMs >= PAUSE_MS) {
      this.#refusalsSinceMs = nowMs
      this.#refusals = 0
    }
    if (++this.#refusals >= REFUSALS_MAX && this.#pausedMs === undefined && this.#canPause) {
      this.#pausedMs = nowMs
      this.#closeServers()
    }
    return false
  }

  /** An inherited socket can be listened on again only if it can be duplicated. */
  get #canPause(): boolean {
    const isRepeatable = this.#endpoint?.inherited === undefined || this.#parts.native !== undefined
    return isRepeatable && !this.#isClosed
  }

  /** Listens again after a pause; to be called a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.now()
    if (this.#pausedMs === undefined || nowMs - this.#pausedMs < PAUSE_MS) return
    this.#pausedMs = nowMs
    if (this.#endpoint === undefined || this.#isClosed || lowestFreeDescriptor() >= this.#clientsEnd) return
    // If another process has taken the port or the last descriptor meanwhile, the next pause tries again.
    this.#listenOn(this.#endpoint, this.#isShared).then(
      () => this.#onListeningAgain(),
      () => undefined,
    )
  }

  #onListeningAgain(): void {
    if (this.#isClosed) return this.stopListening()
    this.#pausedMs = undefined
    this.#parts.onListening?.(this.#servers)
  }

  /** Refuses connections from now on. The system resets those that wait to be accepted. */
  stopListening(): void {
    this.#isClosed = true
    this.#closeServers()
  }

  /** Resolves when the server and the connections that it knows of are closed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await new Promise<void>((resolve) => {
      this.#closeServers(resolve)
    })
  }
}

/** Undefined if there is no limit, or native calls do not work. */
export function userTimeoutOf(limits: {
  readonly native: Native | undefined
  readonly userTimeoutMs: number
}): UserTimeout | undefined {
  const { native, userTimeoutMs: ms } = limits
  return native === undefined || ms === 0 ? undefined : { native, ms }
}

/** A descriptor that the listening socket may close. */
function ownDescriptor(inherited: number, native: Native | undefined): number {
  const result = native?.duplicate(inherited) ?? inherited
  if (result < 0) throw new Error(`cannot duplicate the inherited socket ${inherited} (${errorText(result)})`)
  return result
}

/** @param at its descriptor is a socket that listens already; undefined: a new one is made */
async function listenOn(
  server: Server,
  at: ListenAddress & { readonly descriptor: number | undefined },
  isShared: boolean,
): Promise<AddressInfo> {
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
    const { descriptor, host, port } = at
    if (descriptor === undefined) server.listen({ host, port, backlog: BACKLOG, reusePort: isShared })
    else server.listen({ fd: descriptor }, BACKLOG)
  })
  return server.address() as AddressInfo
}
