// The interface of an acceptor: how the HTTP server gets its connections. There are two implementations: handle-acceptor.ts over the
// runtime's handles, and socket-acceptor.ts over Node's sockets. Both keep the same limits.

import type { AddressInfo } from 'node:net'
import type { Counters } from '#relay/counters.ts'
import type { Connection } from './connection.ts'
import type { ListenAddress } from './listening-port.ts'
import type { Native } from './native.ts'
import type { TlsContexts } from './tls-contexts.ts'

/** Longest TLS handshake; derper allows as much for the HTTP head that follows. */
export const HANDSHAKE_TIMEOUT_MS = 30_000

/**
 * TLS handshakes in progress at the same time, over all threads of a relay: each costs up to 45 KB. As many as are begun in a
 * second and a half, so that only a remote that is slower than that, together with as many others, can hold anybody up.
 */
export const HANDSHAKES_MAX = 2_048

/** The owner of an acceptor. */
export interface AcceptorHost {
  /**
   * Asked once for each TCP connection, before any TLS. False: the acceptor closes the connection.
   *
   * @param ip looks up the remote's address, as sixteen bytes
   */
  tryAccept(ip: () => Uint8Array): boolean
  /** The connection can carry HTTP. */
  onConnection(connection: Connection): void
}

export interface AcceptorParts {
  readonly host: AcceptorHost
  readonly counters: Counters
  /** The certificates of new handshakes, which may change at any time. Undefined: plain TCP. */
  readonly tls: TlsContexts | undefined
  /** 0: the system's default. */
  readonly keepAliveMs: number
  /** How long a remote may not acknowledge; 0: the kernel's own limit. Kept only with native calls. */
  readonly userTimeoutMs: number
  /** Undefined where native calls do not work. */
  readonly native: Native | undefined
  /** Threads of the relay: they share its limits. */
  readonly threadCount: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface Acceptor {
  /** Listens; with `isShared` the relay's other threads may listen on the same port. Rejects if listening fails. */
  listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo>
  /** How long a remote of a later connection may not acknowledge. */
  setUserTimeout(ms: number): void
  /** Ends handshakes that exceed their time limit; to be called a few times a second. */
  sweep(): void
  /** Refuses connections from now on; those that were accepted stay. */
  stopListening(): void
  /** Stops listening and ends every connection that was accepted here. */
  close(): Promise<void>
}
