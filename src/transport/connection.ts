// An accepted connection that can carry HTTP: its TLS handshake, if there is one, is done. Not concerned with the
// client's requests (http-server.ts) or with how connections are accepted (acceptor.ts). There are two implementations:
// handle-connection.ts over the runtime's handles, socket-connection.ts over Node's sockets.
//
// Contract: as of any link (relay/ports.ts). While a connection is paused, the remote's end is not reported either: it is
// reported after the bytes.

import type { Link, LinkListener } from '#relay/ports.ts'

export interface Connection extends Link {
  /** Hands all further bytes and the end to `listener`, in place of the previous listener. */
  attach(listener: LinkListener): void
}
