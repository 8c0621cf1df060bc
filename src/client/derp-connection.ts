// One connection to a DERP server in any of the four ways, without a login: received frames as they are, and any bytes
// sent as they are. For tests and recordings of servers; DerpClient is built on it. Applies the limits of every client
// (ServerKey 1 KiB, other frames 1 MiB, 120 s of silence) and no other rule.

import { FrameReader, FrameAction, type FrameSink } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { frame } from '#protocol/handshake.ts'
import { CLIENT_FRAME_BYTES_MAX, SERVER_KEY_BYTES_MAX } from '#protocol/limits.ts'
import { CloseCode } from '#protocol/web-socket-header.ts'
import { EndKind, type ConnectionEnd } from './connect-error.ts'
import { Opening, type OpenedWay } from './opening.ts'
import { SharedResources } from './shared-resources.ts'
import { SocketLink, type LinkHandler, type SecureFacts } from './socket-link.ts'
import { resolveTarget, type Target, type TargetOptions } from './target.ts'
import { WebSocketStream } from './web-socket-stream.ts'

/** The user of a connection. Exceptions of its methods are not caught. */
export interface ConnectionHandler {
  /** One frame; its payload is buffer[start, end), borrowed for the call. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): void
  /** The connection is being ended in order: what is written from now on is not sent. `onClosed` follows. */
  onEnding?(end: ConnectionEnd): void
  /** The connection has ended; called once, if `open` succeeded. */
  onClosed(end: ConnectionEnd): void
  /** TLS is done, and nothing has been sent yet. The facts are not kept. */
  onSecure?(facts: SecureFacts): void
  /** Fast start: returns the bytes to send in the same write as the request, since the server's key is known. */
  greet?(serverKey: Uint8Array): Uint8Array | undefined
}

type ConnectionPhase = 'new' | 'opening' | 'frames' | 'ending' | 'over'

export class DerpConnection implements AsyncDisposable {
  readonly #target: Target
  readonly #handler: ConnectionHandler
  readonly #shared: SharedResources
  readonly #reader: FrameReader
  readonly #opened = Promise.withResolvers<void>()
  readonly #over = Promise.withResolvers<void>()
  #drained: PromiseWithResolvers<void> | undefined
  #phase: ConnectionPhase = 'new'
  #link: SocketLink | undefined
  #opening: Opening | undefined
  #webSocket: WebSocketStream | undefined
  #way: OpenedWay | undefined
  #end: ConnectionEnd | undefined
  #violation: string | undefined
  #frameCount = 0
  #silenceLimit: NodeJS.Timeout | undefined

  /** Checks the options and does nothing else. @throws RangeError that names an invalid option */
  constructor(options: TargetOptions, handler: ConnectionHandler) {
    this.#target = resolveTarget(options)
    this.#handler = handler
    this.#shared = options.shared ?? new SharedResources()
    this.#reader = new FrameReader(this.#frameSink(), this.#shared.pool)
    // The caller that closes while connecting may not be the one that awaits `open`.
    this.#opened.promise.catch(() => undefined)
  }

  /**
   * Connects; to be called once. Resolves when frames can be sent: with fast start before the server has sent anything.
   *
   * @throws DerpConnectError if it fails, exceeds the time limit, or is closed meanwhile
   */
  open(): Promise<void> {
    if (this.#phase !== 'new') throw new Error('a DerpConnection opens once')
    this.#phase = 'opening'
    const { way, serverKey } = this.#target
    const wantsMetaKey = (way === 'auto' || way === 'fast-start') && serverKey === undefined
    const wantsCertificates = wantsMetaKey || this.#handler.onSecure !== undefined
    const link = new SocketLink(this.#target, this.#shared, this.#linkHandler(), wantsCertificates)
    this.#link = link
    this.#opening = new Opening(this.#target, link, {
      greet: (key) => this.#handler.greet?.(key),
      onOpened: (openedWay) => this.#onOpened(openedWay),
      onFailed: (error) => {
        this.#phase = 'ending'
        this.#opened.reject(error)
      },
    })
    return this.#opened.promise
  }

  /** How the connection became a DERP stream; undefined before it is open. */
  get way(): OpenedWay | undefined {
    return this.#way
  }

  /** The server's key if it was known before the first frame: by meta certificate or options. */
  get serverKey(): Uint8Array | undefined {
    return this.#opening?.serverKey
  }

  /** The head of the HTTP answer as received; empty with fast start. */
  get answerHead(): string {
    return this.#opening?.answerHead ?? ''
  }

  /** Bytes written that are still in the process. */
  get waitingBytes(): number {
    return this.#link?.waitingBytes ?? 0
  }

  /** Of its socket; undefined if it is not known, or there is none. */
  get descriptor(): number | undefined {
    return this.#link?.descriptor
  }

  get isOpen(): boolean {
    return this.#phase === 'frames'
  }

  /**
   * Sends bytes as they are, in one write. Returns false if enough is waiting and `drained` should be awaited, or if the
   * connection is not open and nothing is sent.
   *
   * @param accepted called when the system has accepted the bytes; not if the connection ends before
   */
  write(bytes: Uint8Array, accepted?: () => void): boolean {
    if (this.#phase !== 'frames' || this.#link === undefined) return false
    return this.#link.write(this.#webSocket === undefined ? bytes : this.#webSocket.encode(bytes), accepted)
  }

  /** Sends one frame; returns as `write`. For unknown types, write the bytes. */
  sendFrame(type: FrameType, ...payload: Uint8Array[]): boolean {
    return this.write(frame(type, ...payload))
  }

  /** Resolves when more can be written. Rejects if the connection is not open or ends first. */
  drained(): Promise<void> {
    if (this.#phase !== 'frames') return Promise.reject(this.#notOpen())
    if (this.#link?.needsDrain !== true) return Promise.resolve()
    this.#drained ??= Promise.withResolvers<void>()
    return this.#drained.promise
  }

  /** Stops reading, so that the server's writes fill up. Bytes already read may still arrive. */
  pause(): void {
    this.#link?.pause()
  }

  resume(): void {
    this.#link?.resume()
  }

  /** Flushes and closes the connection, and resolves when it is closed; within a second. */
  close(): Promise<void> {
    if (this.#phase === 'new') this.#finish(undefined)
    else if (this.#phase === 'opening') this.#opening?.fail('closed while connecting')
    else this.#endInOrder({ kind: EndKind.closed, message: 'closed by this side' })
    return this.#over.promise
  }

  /** Closes at once, as a crash would; unflushed bytes are lost. `end` says why. */
  destroy(end: ConnectionEnd = { kind: EndKind.closed, message: 'cut by this side' }): void {
    if (this.#phase === 'new') this.#finish(undefined)
    else if (this.#phase === 'opening') this.#opening?.fail('cut while connecting')
    else if (this.#phase === 'ending') this.#link?.destroy()
    else this.#cut(end)
  }

  /** Closes at once because the server broke the protocol; `message` says how. */
  breakOff(message: string): void {
    this.#cut({ kind: EndKind.violated, message })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #linkHandler(): LinkHandler {
    return {
      onOpen: (secure) => {
        if (secure !== undefined) this.#handler.onSecure?.(secure)
        this.#opening?.begin(secure)
      },
      onBytes: (buffer, start, end) => this.#onBytes(buffer, start, end),
      onEnded: () => {
        if (this.#phase === 'frames') this.#endInOrder(endOf(undefined))
      },
      onDrained: () => {
        this.#drained?.resolve()
        this.#drained = undefined
      },
      onClosed: (error) => {
        if (this.#phase === 'opening') this.#opening?.onClosed(error)
        this.#finish(error)
      },
    }
  }

  #frameSink(): FrameSink {
    return {
      onHeader: (type, payloadBytes) => {
        const bytesMax = type === FrameType.serverKey ? SERVER_KEY_BYTES_MAX : CLIENT_FRAME_BYTES_MAX
        if (payloadBytes <= bytesMax) return FrameAction.accept
        this.#violation = `a frame of type ${type} with ${payloadBytes} bytes, over ${bytesMax}`
        return FrameAction.reject
      },
      onFrame: (type, buffer, start, end) => {
        this.#frameCount++
        this.#handler.onFrame(type, buffer, start, end)
        return this.#phase === 'frames'
      },
    }
  }

  #onOpened(way: OpenedWay): void {
    this.#way = way
    this.#phase = 'frames'
    if (way === 'websocket') this.#webSocket = this.#openWebSocket()
    const { silenceTimeoutMs } = this.#target
    if (silenceTimeoutMs !== Number.POSITIVE_INFINITY) {
      this.#silenceLimit = setTimeout(() => this.#onSilence(), silenceTimeoutMs)
    }
    this.#opened.resolve()
  }

  #onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#phase === 'frames') return this.#onStream(buffer, start, end)
    if (this.#phase !== 'opening' || this.#opening === undefined) return
    const streamAt = this.#opening.feed(buffer, start, end)
    if (streamAt < end) this.#onStream(buffer, streamAt, end)
  }

  #onStream(buffer: Buffer, start: number, end: number): void {
    const framesBefore = this.#frameCount
    if (this.#webSocket === undefined) this.#reader.feed(buffer, start, end)
    else this.#webSocket.receive(buffer, start, end)
    if (this.#frameCount !== framesBefore) this.#silenceLimit?.refresh()
    if (this.#violation !== undefined) this.breakOff(`the server sent ${this.#violation}`)
  }

  #openWebSocket(): WebSocketStream {
    return new WebSocketStream(
      {
        onPayload: (buffer, start, end) => {
          if (this.#phase === 'frames') this.#reader.feed(buffer, start, end)
        },
        onReply: (bytes) => this.#link?.write(bytes),
        onClose: (code, text) => {
          const suffix = text === '' ? '' : `: ${JSON.stringify(text)}`
          const message = `the server closed the WebSocket with ${code}${suffix}`
          this.#endInOrder({ kind: EndKind.ended, message })
        },
        onViolation: (message) => this.#endInOrder({ kind: EndKind.violated, message }),
      },
      this.#target.webSocketMessageBytesMax,
    )
  }

  #onSilence(): void {
    this.#cut({ kind: EndKind.silent, message: `no frame within ${this.#target.silenceTimeoutMs} ms` })
  }

  #endInOrder(end: ConnectionEnd): void {
    if (this.#phase !== 'frames') return
    if (this.#webSocket !== undefined && end.kind === EndKind.closed) {
      this.#link?.write(this.#webSocket.encodeClose(CloseCode.normal))
    }
    this.#phase = 'ending'
    this.#end = end
    this.#link?.end()
    this.#handler.onEnding?.(end)
  }

  #cut(end: ConnectionEnd): void {
    if (this.#phase !== 'frames') return
    this.#phase = 'ending'
    this.#end = end
    this.#link?.destroy()
  }

  /** The socket is closed, or there never was one. */
  #finish(error: Error | undefined): void {
    this.#end ??= endOf(error)
    this.#phase = 'over'
    clearTimeout(this.#silenceLimit)
    this.#reader.close()
    this.#shared.pool.trim()
    this.#drained?.reject(this.#notOpen())
    this.#over.resolve()
    if (this.#way !== undefined) this.#handler.onClosed(this.#end)
  }

  #notOpen(): Error {
    return new Error(`the connection is not open${this.#end === undefined ? '' : `: ${this.#end.message}`}`)
  }
}

function endOf(error: Error | undefined): ConnectionEnd {
  return error === undefined
    ? { kind: EndKind.ended, message: 'the server closed the connection' }
    : { kind: EndKind.broken, message: error.message, cause: error }
}
