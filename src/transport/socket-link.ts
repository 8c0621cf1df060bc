// A link over a socket of Node's, TLS or plain, after its HTTP head has been read. Translates the socket's
// events to the relay's terms and back. Holds no queue: the relay gives it one burst at a time.

import type { Socket } from 'node:net'
import { EndReason } from '#relay/end-reason.ts'
import type { Link, LinkListener, RemoteAddress } from '#relay/ports.ts'
import { sayFarewell } from './farewell.ts'

/**
 * What is read of one remote in a turn of the loop. A turn ends by writing, so reading more than is written in a turn
 * would only fill outboxes and be dropped there; unread bytes wait in the system, which slows their sender.
 */
const TURN_BYTES_MAX = 65_536

export class SocketLink implements Link {
  readonly isWebSocket = false
  readonly remote: RemoteAddress
  readonly #socket: Socket
  #listener: LinkListener | undefined = undefined
  #isCorked = false
  /** By the relay. */
  #isPaused = false
  /** Until the next turn. */
  #isResting = false
  #turnBytes = 0

  constructor(socket: Socket, remote: RemoteAddress) {
    this.#socket = socket
    this.remote = remote
  }

  /** Hands all further bytes and the end to `listener`. */
  attach(listener: LinkListener): void {
    this.#listener = listener
    const socket = this.#socket
    socket.on('data', this.#onData)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.resume()
  }

  write(bytes: Uint8Array, isLast: boolean): void {
    if (!isLast && !this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
    }
    if (!isLast) {
      this.#socket.write(bytes)
      return
    }
    this.#socket.write(bytes, this.#onWritten)
    if (!this.#isCorked) return
    this.#isCorked = false
    this.#socket.uncork()
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isResting) this.#socket.resume()
  }

  close(): void {
    sayFarewell(this.#socket)
    // What the remote still sends is read and dropped, so that it sees an end and not a reset.
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#listener?.receive(chunk, 0, chunk.length)
    this.#turnBytes += chunk.length
    if (this.#turnBytes < TURN_BYTES_MAX || this.#isResting) return
    this.#isResting = true
    this.#socket.pause()
    setImmediate(this.#onTurn)
  }

  readonly #onTurn = (): void => {
    this.#isResting = false
    this.#turnBytes = 0
    if (!this.#isPaused) this.#socket.resume()
  }

  /** An error here is followed by `close`, which tells the session. */
  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) this.#listener?.written()
  }

  readonly #onError = (): void => {
    this.#listener?.closed(EndReason.remoteReset)
  }

  readonly #onClose = (): void => {
    this.#listener?.closed(EndReason.remoteClosed)
  }
}
