// A link over a WebSocket of uWebSockets.js. The relay's bytes leave as binary messages, cut to the size
// that browsers' clients accept; message borders mean nothing in either direction. Reading is paused at the
// front door, which still holds the client's socket.

import type { WebSocket } from 'uWebSockets.js'
import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { Link, LinkListener, RemoteAddress } from '#relay/ports.ts'

/** "Going away" would tell a browser to stay away; 1000 is a plain end of stream. */
const CLOSE_NORMAL = 1000

/** The client's connection as the front door holds it. */
export interface FrontSocket {
  readonly remote: RemoteAddress
  pause(): void
  resume(): void
}

export class WebSocketLink implements Link {
  readonly isWebSocket = true
  readonly #front: FrontSocket
  readonly #socket: WebSocket<unknown>
  #listener: LinkListener | undefined = undefined
  #isClosed = false

  constructor(socket: WebSocket<unknown>, front: FrontSocket) {
    this.#socket = socket
    this.#front = front
  }

  get remote(): RemoteAddress {
    return this.#front.remote
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#isClosed) return false
    for (let at = 0; at < bytes.length; at += WEB_SOCKET_MESSAGE_BYTES_MAX) {
      this.#socket.send(bytes.subarray(at, at + WEB_SOCKET_MESSAGE_BYTES_MAX), true)
    }
    // Told in a later turn, since the relay is in the middle of writing; or when it has drained.
    if (isLast && this.#socket.getBufferedAmount() === 0) setImmediate(() => this.#onWritten())
    return false
  }

  /** Siblings come without. */
  becomeTrunk(): void {}

  pause(): void {
    this.#front.pause()
  }

  resume(): void {
    this.#front.resume()
  }

  close(): void {
    if (!this.#isClosed) this.#socket.end(CLOSE_NORMAL)
  }

  destroy(): void {
    if (!this.#isClosed) this.#socket.close()
  }

  onMessage(message: ArrayBuffer): void {
    const chunk = Buffer.from(message)
    this.#listener?.receive(chunk, 0, chunk.length)
  }

  onDrain(): void {
    if (this.#socket.getBufferedAmount() === 0) this.#onWritten()
  }

  onClose(): void {
    this.#isClosed = true
    this.#listener?.closed(EndReason.remoteClosed)
  }

  #onWritten(): void {
    if (!this.#isClosed) this.#listener?.written()
  }
}
