// A connection driven by a socket of Node's, TLS or plain: what the relay runs on where the runtime's handles
// are not as it knows them. Translates the socket's events to the relay's terms and back. Holds no queue: the
// relay gives it one burst at a time.

import type { Socket } from 'node:net'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, RemoteAddress } from '#relay/ports.ts'
import type { Connection } from './connection.ts'
import { closeGracefully } from './graceful-close.ts'
import { ReadState, type ScheduledConnection } from './read-state.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { remoteOf } from './remote-address.ts'

export class SocketConnection implements Connection, ScheduledConnection {
  readonly isWebSocket = false
  readonly readState = new ReadState()
  readonly remote: RemoteAddress
  readonly #socket: Socket
  readonly #scheduler: ReadScheduler
  #listener: LinkListener | undefined = undefined
  #isCorked = false
  /** By the relay. */
  #isPaused = false
  #isEnding = false
  #endReason: EndReason = EndReason.remoteClosed

  constructor(socket: Socket, scheduler: ReadScheduler) {
    this.#socket = socket
    this.#scheduler = scheduler
    this.remote = remoteOf(socket)
    socket.on('data', this.#onData)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (!isLast && !this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
    }
    if (!isLast) {
      this.#socket.write(bytes)
      return false
    }
    this.#socket.write(bytes, this.#onWritten)
    if (this.#isCorked) this.#socket.uncork()
    this.#isCorked = false
    return false
  }

  becomeTrunk(): void {
    this.readState.isTrunk = true
  }

  pause(): void {
    this.#isPaused = true
    this.readAsWanted()
  }

  resume(): void {
    this.#isPaused = false
    this.readAsWanted()
  }

  readAsWanted(): void {
    if (this.#isPaused || !this.readState.isAwaited) this.#socket.pause()
    else this.#socket.resume()
  }

  /** A socket has no way to be read at once. */
  poll(): number {
    return -1
  }

  close(): void {
    this.#isEnding = true
    closeGracefully(this.#socket)
    // What the remote still sends is read and dropped, so that it sees an end and not a reset.
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isEnding) return
    this.#listener?.receive(chunk, 0, chunk.length)
    this.#scheduler.read(this, chunk.length)
  }

  /** Told in a later turn: who has more to answer would else go on with it before anybody else is heard. */
  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) setImmediate(this.#tellWritten)
  }

  readonly #tellWritten = (): void => {
    if (!this.#isEnding && !this.#socket.destroyed) this.#listener?.written()
  }

  /** A record that can't be read is an error to the runtime, and no end: without one, nobody would hear of it. */
  readonly #onError = (): void => {
    this.#endReason = EndReason.remoteReset
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#listener?.closed(this.#endReason)
  }
}
