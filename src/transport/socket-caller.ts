// A connection driven by a socket of Node's, TLS or plain: what the relay runs on where the runtime's handles
// are not as it knows them. Translates the socket's events to the relay's terms and back. Holds no queue: the
// relay gives it one burst at a time.

import type { Socket } from 'node:net'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, RemoteAddress } from '#relay/ports.ts'
import type { Caller } from './caller.ts'
import { sayFarewell } from './farewell.ts'
import { Flow, type Paced } from './flow.ts'
import type { ReadPace } from './read-pace.ts'
import { remoteOf } from './remote-address.ts'

export class SocketCaller implements Caller, Paced {
  readonly isWebSocket = false
  readonly flow = new Flow()
  readonly remote: RemoteAddress
  readonly #socket: Socket
  readonly #pace: ReadPace
  #listener: LinkListener | undefined = undefined
  #isCorked = false
  /** By the relay. */
  #isPaused = false
  #isEnding = false
  #endReason: EndReason = EndReason.remoteClosed

  constructor(socket: Socket, pace: ReadPace) {
    this.#socket = socket
    this.#pace = pace
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
    this.flow.isTrunk = true
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
    if (this.#isPaused || !this.flow.isAwaited) this.#socket.pause()
    else this.#socket.resume()
  }

  /** A socket has no way to be read at once. */
  pull(): number {
    return -1
  }

  close(): void {
    this.#isEnding = true
    sayFarewell(this.#socket)
    // What the remote still sends is read and dropped, so that it sees an end and not a reset.
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isEnding) return
    this.#listener?.receive(chunk, 0, chunk.length)
    this.#pace.read(this, chunk.length)
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
