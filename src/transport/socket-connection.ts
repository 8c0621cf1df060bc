// A connection over one of Node's sockets, TLS or plain, for where the runtime's handles are not as handle-connection.ts expects
// them. Translates the socket's events to the relay's terms and back. Keeps no queue: the relay writes one burst at a time.

import type { Socket } from 'node:net'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, ReadShare, RemoteAddress } from '#relay/ports.ts'
import type { Connection } from './connection.ts'
import { noteReadGarbage } from './collect-garbage.ts'
import { closeGracefully } from './graceful-close.ts'
import { descriptorOf, type Native } from './native.ts'
import { ReadState, type ScheduledConnection } from './read-state.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { remoteOf } from './remote-address.ts'

export class SocketConnection implements Connection, ScheduledConnection {
  readonly isWebSocket = false
  readonly readState = new ReadState()
  readonly remote: RemoteAddress
  readonly #socket: Socket
  readonly #scheduler: ReadScheduler
  /** Undefined where native calls do not work. */
  readonly #native: Native | undefined
  #listener: LinkListener | undefined = undefined
  #isCorked = false
  /** The listener has paused reading. */
  #isPaused = false
  #isClosing = false
  #endReason: EndReason = EndReason.remoteClosed

  constructor(socket: Socket, scheduler: ReadScheduler, native: Native | undefined) {
    this.#socket = socket
    this.#scheduler = scheduler
    this.#native = native
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

  readAs(share: ReadShare | undefined): void {
    this.readState.share = share
    this.readState.isStranger = false
  }

  readInTurn(isInTurn: boolean): void {
    this.readState.isInTurn = isInTurn
  }

  get roundTripSeconds(): number {
    const descriptor = descriptorOf(this.#socket)
    return this.#native === undefined || descriptor < 0 ? 0 : this.#native.roundTripUs(descriptor) / 1e6
  }

  pause(): void {
    this.#isPaused = true
    this.applyReadState()
  }

  resume(): void {
    this.#isPaused = false
    this.applyReadState()
  }

  applyReadState(): void {
    if (this.#isPaused || !this.readState.wantsReadEvents) this.#socket.pause()
    else this.#socket.resume()
  }

  /** A socket can only be read by events. */
  poll(): number {
    return -1
  }

  get receivedBytes(): number {
    return this.#socket.bytesRead
  }

  get sentBytes(): number {
    return this.#socket.bytesWritten
  }

  finish(): void {
    if (!this.#socket.destroyed) this.#socket.end()
  }

  close(): void {
    this.#isClosing = true
    closeGracefully(this.#socket)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    noteReadGarbage(chunk.length)
    if (this.#isClosing) return
    this.#listener?.receive(chunk, 0, chunk.length)
    this.#scheduler.onRead(this, chunk.length)
  }

  /** Reported in a later turn: a remote with more requests to answer would otherwise be served before all others. */
  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null) setImmediate(this.#reportWritten)
  }

  readonly #reportWritten = (): void => {
    if (!this.#isClosing && !this.#socket.destroyed) this.#listener?.written()
  }

  /** For a TLS record that cannot be read, the runtime reports this error and no end of the stream. */
  readonly #onError = ({ code }: NodeJS.ErrnoException): void => {
    this.#endReason = code === 'ETIMEDOUT' ? EndReason.unacknowledged : EndReason.remoteReset
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#listener?.closed(this.#endReason)
  }
}
