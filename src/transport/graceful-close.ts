// Graceful close of a connection: all written bytes are sent first, then the end. What the remote sent before it saw the end is read
// and dropped, so that it sees an end and not a reset. Bounded in time and bytes. Not for remotes that have stopped reading; those
// connections are destroyed.

import type { Socket } from 'node:net'

/** A remote that does not close its side within this time is cut off; it has nothing to gain by waiting. */
const GRACEFUL_CLOSE_TIMEOUT_MS = 1_000

/**
 * A remote that sends more than this has not stopped. To read on would keep the thread busy for that second, and with Node's
 * sockets each read is 64 KiB of garbage.
 */
export const DROPPED_BYTES_MAX = 262_144

/** The bounds of one connection's graceful close, which is in progress. */
export class GracefulClose {
  readonly #destroy: () => void
  readonly #timer: NodeJS.Timeout
  #droppedBytes = 0

  /** @param destroy ends the connection; may be called again when it has ended */
  constructor(destroy: () => void) {
    this.#destroy = destroy
    this.#timer = setTimeout(destroy, GRACEFUL_CLOSE_TIMEOUT_MS).unref()
  }

  /** So many more bytes were read and dropped. */
  drop(byteCount: number): void {
    this.#droppedBytes += byteCount
    if (this.#droppedBytes > DROPPED_BYTES_MAX) this.#destroy()
  }

  /** The connection has ended. */
  end(): void {
    clearTimeout(this.#timer)
  }
}

/** Other listeners for its data still get them. */
export function closeGracefully(socket: Socket): void {
  if (socket.destroyed) return
  const closing = new GracefulClose(() => socket.destroy())
  socket.on('data', (chunk: Buffer) => closing.drop(chunk.length))
  socket.once('close', () => closing.end())
  socket.end()
  socket.resume()
}
