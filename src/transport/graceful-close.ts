// How a connection is ended in order: what was written is sent, then the end. Not for remotes that take nothing any
// more; those are destroyed.

import type { Socket } from 'node:net'

/** A remote that does not answer our closing within this time is cut off; it has nothing to gain by it. */
export const GRACEFUL_CLOSE_TIMEOUT_MS = 1_000

export function closeGracefully(socket: Socket, lastWords = ''): void {
  if (socket.destroyed) return
  socket.end(lastWords)
  setTimeout(() => socket.destroy(), GRACEFUL_CLOSE_TIMEOUT_MS).unref()
}
