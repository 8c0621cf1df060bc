// A connection driven by the runtime's handles, without a stream of Node's around them: that costs half the
// memory of a socket, and less time per packet and per login. All connections of a thread read into one
// buffer, since what was read is used up before the next read.
//
// Contract: one burst is under way at a time, as the relay has it anyway. After `closed` nothing is called.

import { readSync } from 'node:fs'
import { ipToBytes, unmapped } from '#protocol/ip-address.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, RemoteAddress } from '#relay/ports.ts'
import type { TurnQueue } from '#relay/turn-queue.ts'
import type { Connection } from './connection.ts'
import { GRACEFUL_CLOSE_TIMEOUT_MS } from './graceful-close.ts'
import { ReadState, SHARE_BYTES_MAX, type ScheduledConnection } from './read-state.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { RecordBudget } from './record-budget.ts'
import type {
  HandleOwner,
  HandleRequest,
  PeerName,
  RuntimeHandles,
  StreamHandle,
  TcpHandle,
  TlsHandle,
} from './runtime-handles.ts'
import { WriteVolume } from './write-volume.ts'

/** The runtime's number for an orderly end. */
const END_OF_STREAM = -4095
/** A full burst of the relay's and a chunk more. */
const SCRATCH_BYTES = 131_072
/** TLS's output buffer grows to what is written at once, for good, by 16 KiB at a time: this is a record that fits. */
const SMALL_WRITE_BYTES = 16_000

/** What all handle connection of one thread have in common. */
export interface HandleConnectionParts {
  readonly handles: RuntimeHandles
  readonly scheduler: ReadScheduler
  readonly now: () => number
  /** Those whose remotes have ended go through here. */
  readonly ends: TurnQueue
  /** Where everything read lands. */
  readonly readBuffer: Buffer
  /** The TLS handshake is done. */
  secured(connection: HandleConnection, tls: TlsHandle): void
  /** The connection is closed, however it went on. */
  left(connection: HandleConnection): void
}

/** What was read at once, before TLS has been at it. */
const cipherBytes = Buffer.allocUnsafeSlow(SHARE_BYTES_MAX)
/** A burst under TLS is gathered here: it is encrypted, and so used up, before the write returns. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

export class HandleConnection implements Connection, HandleOwner, ScheduledConnection {
  readonly isWebSocket = false
  readonly readState = new ReadState()
  /** Both set by the acceptor when the handshake is done. */
  isSecure = false
  isTls13 = false
  /** It is being ended because TLS has failed. */
  isTlsBroken = false
  /** It is being ended because its records bring no data. */
  isUseless = false
  /** Of the remote, as the system writes it; an address in bytes would take six times the memory. */
  readonly #address: string
  readonly #port: number
  readonly #parts: HandleConnectionParts
  readonly #tcp: TcpHandle
  readonly #tls: TlsHandle | undefined
  #listener: LinkListener | undefined = undefined
  /** Of the burst that is being written, what has not been given to the handle yet. */
  #unsent: Uint8Array[] | undefined = undefined
  #isWriting = false
  #outgoing: WriteVolume | undefined = undefined
  /** By the relay. */
  #isPaused = false
  /** We say goodbye: what was written is sent, then the end. */
  #isEnding = false
  #isShutDown = false
  #isRemoteOver = false
  /** The remote's end came while reading was stopped, as TLS tells it with the last bytes. */
  #isEndHeld = false
  #isClosed = false
  #endReason: EndReason = EndReason.remoteClosed
  #farewell: NodeJS.Timeout | undefined = undefined
  /** Undefined without TLS. */
  readonly #budget: RecordBudget | undefined
  /** With data, since the last look. */
  #records = 0
  /** Read of the descriptor, past the TCP handle. */
  #pulledBytes = 0

  /** Takes over `tcp`, and `tls` on it if there is TLS, and begins to read. */
  constructor(tcp: TcpHandle, tls: TlsHandle | undefined, parts: HandleConnectionParts) {
    this.#tcp = tcp
    this.#tls = tls
    this.#budget = tls && new RecordBudget(parts.now())
    this.#parts = parts
    const name: PeerName = {}
    tcp.getpeername(name)
    this.#address = name.address ?? ''
    this.#port = name.port ?? 0
    // The handle that the system knows holds on to us, and by us to TLS.
    tcp.owner = this
    const handle = this.#handle
    handle.owner = this
    handle.onread = onRead
    handle.useUserBuffer(parts.readBuffer)
    handle.reading = true
    handle.readStart()
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  /** Zero if the remote was gone when its connection was accepted. */
  get remote(): RemoteAddress {
    return { ip: ipToBytes(unmapped(this.#address)), port: this.#port }
  }

  secured(): void {
    if (this.#tls !== undefined) this.#parts.secured(this, this.#tls)
  }

  get #handle(): StreamHandle {
    return this.#tls ?? this.#tcp
  }

  // ── reading ──

  read(): void {
    if (this.#isClosed) return
    const byteCount = this.#parts.handles.bytesRead()
    if (byteCount === 0) return
    if (byteCount < 0) return this.#parts.ends.pass(() => this.#remoteEnded(byteCount))
    this.#records++
    // What a remote sends while it is told goodbye is read and dropped, so that it sees an end and no reset.
    if (this.#isEnding) return
    const { scheduler, readBuffer } = this.#parts
    const { isAlone } = this.readState
    if (isAlone) scheduler.turns.hold(false)
    this.#listener?.receive(readBuffer, 0, byteCount)
    if (isAlone) scheduler.turns.release()
    scheduler.read(this, byteCount)
  }

  poll(): number {
    // How it ended is told to who waits for its bytes.
    if (this.#isClosed || this.#isEnding || this.#isPaused) return -1
    const buffer = this.#tls === undefined ? this.#parts.readBuffer : cipherBytes
    const byteCount = this.#readNow(buffer)
    if (byteCount <= 0) return byteCount
    if (this.#tls === undefined) {
      this.#listener?.receive(buffer, 0, byteCount)
      this.#parts.scheduler.read(this, byteCount)
    } else {
      this.#pulledBytes += byteCount
      this.#tls.receive(byteCount === buffer.length ? buffer : buffer.subarray(0, byteCount))
    }
    return byteCount
  }

  /** Zero when there is nothing, negative at the end of the stream and when it is broken. */
  #readNow(buffer: Buffer): number {
    try {
      return readSync(this.#tcp.fd, buffer, 0, SHARE_BYTES_MAX, null) || -1
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : -1
    }
  }

  /** Ends it if it sends records for their own sake. To be called now and then. */
  lookAtRecords(nowMs: number): void {
    if (this.#budget === undefined || this.#tls === undefined || this.#isClosed) return
    const restBytes = this.#tcp.bytesRead + this.#pulledBytes - this.#tls.bytesRead
    const records = this.#records
    this.#records = 0
    if (!this.#budget.isExceeded(restBytes, records, nowMs)) return
    this.isUseless = true
    this.#endReason = EndReason.uselessRecords
    this.destroy()
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
    if (this.#isEndHeld) this.#remoteEnded(END_OF_STREAM)
    else this.readAsWanted()
  }

  readAsWanted(): void {
    if (this.#isClosed) return
    const isWanted = this.#isEnding || (this.readState.isAwaited && !this.#isPaused)
    const handle = this.#handle
    if (handle.reading === isWanted) return
    handle.reading = isWanted
    if (isWanted) handle.readStart()
    else handle.readStop()
  }

  #remoteEnded(error: number): void {
    if (this.#isClosed) return
    this.#isEndHeld = error === END_OF_STREAM && this.#isPaused && !this.#isEnding
    if (this.#isEndHeld) return
    this.#isRemoteOver = true
    if (error !== END_OF_STREAM) this.#endReason = EndReason.remoteReset
    if (error !== END_OF_STREAM || this.#isShutDown) this.destroy()
    else this.close()
  }

  // ── writing ──

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#isClosed) return false
    if (isLast && this.#unsent === undefined && this.#goesAsItLies(bytes)) {
      this.#send(bytes)
    } else {
      this.#unsent ??= []
      this.#unsent.push(bytes)
      if (isLast) this.#sendNext()
    }
    // TLS has encrypted what it was given, or copied it.
    return this.#tls !== undefined && this.#unsent === undefined
  }

  #goesAsItLies(bytes: Uint8Array): boolean {
    return this.#tls === undefined || bytes.length <= SMALL_WRITE_BYTES || this.#outgoing?.isLarge === true
  }

  /** Sends what is left of a burst; under TLS, as much of it as shall be encrypted at once. */
  #sendNext(): void {
    const unsent = this.#unsent ?? []
    this.#unsent = undefined
    if (this.#tls === undefined) return this.#send(unsent)
    const outgoing = (this.#outgoing ??= new WriteVolume())
    const bytesMax = outgoing.isLarge ? SCRATCH_BYTES : SMALL_WRITE_BYTES
    let byteCount = 0
    for (const [i, part] of unsent.entries()) {
      const taken = Math.min(part.length, bytesMax - byteCount)
      scratch.set(taken === part.length ? part : part.subarray(0, taken), byteCount)
      byteCount += taken
      if (taken === part.length) continue
      this.#unsent = unsent.slice(i)
      this.#unsent[0] = part.subarray(taken)
      break
    }
    if (!outgoing.isLarge) outgoing.add(byteCount, this.#parts.now())
    this.#send(scratch.subarray(0, byteCount))
  }

  #send(bytes: Uint8Array | Uint8Array[]): void {
    const { WriteRequest, wasAsync } = this.#parts.handles
    const request = new WriteRequest()
    request.owner = this
    request.oncomplete = onWritten
    this.#isWriting = true
    const handle = this.#handle
    const status = Array.isArray(bytes)
      ? handle.writev(request, bytes, true)
      : handle.writeBuffer(request, bytes)
    // What is over at once is told in a later turn, since the relay is in the middle of writing.
    if (status !== 0 || !wasAsync()) setImmediate(() => this.written(status))
    // The system reads them later: until then they must not be collected.
    else request.bytes = bytes
  }

  written(status: number): void {
    this.#isWriting = false
    if (this.#isClosed) return
    if (status < 0) {
      this.#endReason = EndReason.remoteReset
      this.destroy()
    } else if (this.#unsent !== undefined) {
      this.#sendNext()
    } else if (this.#isEnding) {
      this.#shutDown()
    } else {
      this.#listener?.written()
    }
  }

  // ── ending ──

  close(): void {
    if (this.#isEnding || this.#isClosed) return
    this.#isEnding = true
    this.#isRemoteOver ||= this.#isEndHeld
    this.#farewell = setTimeout(() => this.destroy(), GRACEFUL_CLOSE_TIMEOUT_MS)
    this.#farewell.unref()
    this.readAsWanted()
    if (!this.#isWriting) this.#shutDown()
  }

  #shutDown(): void {
    const request = new this.#parts.handles.ShutdownRequest()
    request.owner = this
    request.oncomplete = onShutDown
    if (this.#handle.shutdown(request) !== 0) this.destroy()
  }

  shutDown(): void {
    this.#isShutDown = true
    if (this.#isRemoteOver) this.destroy()
  }

  tlsFailed(): void {
    this.isTlsBroken = true
    this.#endReason = EndReason.remoteReset
    this.destroy()
  }

  destroy(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#farewell)
    this.#tcp.close(() => this.#closed())
  }

  #closed(): void {
    this.#tls?.destroySSL()
    this.#parts.left(this)
    // Only now does nobody read what was given to be written.
    this.#listener?.closed(this.#endReason)
    this.#listener = undefined
  }
}

function onRead(this: StreamHandle): void {
  this.owner?.read()
}

function onWritten(this: HandleRequest, status: number): void {
  this.owner?.written(status)
}

function onShutDown(this: HandleRequest): void {
  this.owner?.shutDown()
}
