// A connection that has come in and can carry HTTP: TLS, where there is any, is done. What it wants is found
// out by the HTTP server. How connections come in is an acceptor's business: there are two, over the runtime's
// handles and over its sockets. While it is paused, the remote's end is not told either: it comes after the bytes.

import type { AddressInfo } from 'node:net'
import type { TlsOptions } from 'node:tls'
import type { Counters } from '#relay/counters.ts'
import type { Link, LinkListener } from '#relay/ports.ts'

export interface Connection extends Link {
  /** Hands all further bytes and the end to `listener`, in place of the one before. */
  attach(listener: LinkListener): void
}

/** TLS handshakes may take this long; derper allows as much for the head that follows. */
export const HANDSHAKE_TIMEOUT_MS = 30_000

/**
 * In the middle of their handshake at once, over all threads of a relay: each costs up to 45 KB. As many as are begun in a second
 * and a half, so that it takes a remote that is slower than that, and as many others, to be held up.
 */
export const HANDSHAKES_MAX = 2_048

export interface AcceptorParts {
  readonly counters: Counters
  /** Undefined: plain TCP. */
  readonly identity: TlsOptions | undefined
  /** 0: the system's own. */
  readonly keepAliveMs: number
  /** Of the relay, whose limits are shared by them. */
  readonly threadCount: number
  readonly now: () => number
  /** Asked for each connection that has been accepted. */
  mayAccept(): boolean
  /** Somebody can carry HTTP. */
  accepted(connection: Connection): void
}

export interface Acceptor {
  /** Listens; `isShared` lets the relay's other threads listen on the same port. Rejects if it can't. */
  listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo>
  /** Ends what takes too long; to be called a few times a second. */
  sweep(): void
  /** Stops listening and ends every connection that came in here. */
  close(): Promise<void>
}
