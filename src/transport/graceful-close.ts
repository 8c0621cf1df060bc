// Graceful close of a socket: all written bytes are sent first, then the end. Not for remotes that have stopped reading;
// those connections are destroyed.

import type { Socket } from 'node:net'

/** A remote that does not close its side within this time is cut off; it has nothing to gain by waiting. */
export const GRACEFUL_CLOSE_TIMEOUT_MS = 1_000

export function closeGracefully(socket: Socket): void {
  if (socket.destroyed) return
  socket.end()
  setTimeout(() => socket.destroy(), GRACEFUL_CLOSE_TIMEOUT_MS).unref()
}
