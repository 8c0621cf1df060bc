// A connection over the runtime's handles, without one of Node's streams around them: that takes half the memory of a
// socket, and less time per packet and per login. All connections of a thread read into one buffer, since the bytes of one
// read are consumed before the next read. Runs on a relay thread.
//
// Contract: one burst is written at a time, as the relay does anyway. The listener is not called after `closed`.

import { constants } from 'node:os'
import { ipToBytes, unmapped } from '#protocol/ip-address.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { LinkListener, ReadShare, RemoteAddress } from '#relay/ports.ts'
import type { TurnQueue } from '#relay/turn-queue.ts'
import type { Connection } from './connection.ts'
import { GracefulClose } from './graceful-close.ts'
import type { Native } from './native.ts'
import { readAtOnce } from './read-at-once.ts'
import { ReadState, SHARE_BYTES_MAX, type ScheduledConnection } from './read-state.ts'
import type { CheckedConnection, RecordChecks } from './record-checks.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import { RecordBudget } from './record-budget.ts'
import type {
  HandleOwner,
  HandleRequest,
  SocketName,
  RuntimeHandles,
  StreamHandle,
  TcpHandle,
  TlsHandle,
} from './runtime-handles.ts'
import { WriteVolume } from './write-volume.ts'

/** The runtime's error number for the end of the stream. */
const END_OF_STREAM = -4095
const TIMED_OUT = -constants.errno.ETIMEDOUT
/** A full burst of the relay, and nearly one chunk more: with the headers of its records, 128 KiB. */
const SCRATCH_BYTES = 130_000
/** A write that fits into one TLS record, for TLS that keeps buffers of the size of its largest write. */
const SMALL_WRITE_BYTES = 16_000

/** The parts that all connections of an acceptor share. */
export interface HandleConnectionParts {
  readonly handles: RuntimeHandles
  readonly scheduler: ReadScheduler
  /** Undefined where native calls do not work. */
  readonly native: Native | undefined
  readonly now: () => number
  readonly recordChecks: RecordChecks
  /** Limits how many ends of remotes are handled per turn of the event loop. */
  readonly ends: TurnQueue
  /** Every read puts its bytes here. */
  readonly readBuffer: Buffer
  /** The TLS handshake of `connection` is done. */
  onHandshakeDone(connection: HandleConnection, tls: TlsHandle): void
  /** `connection` is closed, whether its handshake was done or not. */
  onClosed(connection: HandleConnection): void
}

/** Polling reads encrypted bytes into this buffer. */
const cipherBytes = Buffer.allocUnsafeSlow(SHARE_BYTES_MAX)
/** Under TLS a burst is gathered here. TLS encrypts it before the write returns, so the buffer is free again. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

export class HandleConnection implements Connection, HandleOwner, ScheduledConnection, CheckedConnection {
  readonly isWebSocket = false
  readonly readState = new ReadState()
  /** Both set by the acceptor when the handshake is done. */
  isSecure = false
  isTls13 = false
  /** The connection ends because TLS has failed. */
  isTlsBroken = false
  /** The connection ends because too many of its records bring no data. */
  isUseless = false
  /** The remote's address as the system writes it; an array of bytes would take six times the memory. */
  readonly #address: string
  readonly #port: number
  readonly #parts: HandleConnectionParts
  readonly #tcp: TcpHandle
  readonly #tls: TlsHandle | undefined
  #listener: LinkListener | undefined = undefined
  /** The part of the current burst that was not given to the handle yet. */
  #unsent: Uint8Array[] | undefined = undefined
  #isWriting = false
  #writeVolume: WriteVolume | undefined = undefined
  /** The listener has paused reading. */
  #isPaused = false
  /** A graceful close is in progress: all written bytes are sent, then the end. */
  #closing: GracefulClose | undefined = undefined
  /** The same, and what the remote sends until its own end is received. */
  #isFinishing = false
  #isShutDown = false
  #hasRemoteEnded = false
  /** The remote's end arrived while reading was paused; TLS reports it together with the last bytes. */
  #isEndDeferred = false
  #isClosed = false
  #endReason: EndReason = EndReason.remoteClosed
  /** Undefined without TLS. */
  readonly #recordBudget: RecordBudget | undefined
  /** It is noted for the next check of its records. */
  #isNoted = false
  /** Records with data since the last check. */
  #records = 0
  /** Bytes that polling read from the descriptor, which the TCP handle does not count. */
  #polledBytes = 0

  /** Takes over `tcp`, and `tls` on top of it if there is TLS, and starts reading. */
  constructor(tcp: TcpHandle, tls: TlsHandle | undefined, parts: HandleConnectionParts) {
    this.#tcp = tcp
    this.#tls = tls
    this.#recordBudget = tls && new RecordBudget(parts.now())
    this.#parts = parts
    if (tls !== undefined) this.onRecords()
    const name: SocketName = {}
    tcp.getpeername(name)
    this.#address = name.address ?? ''
    this.#port = name.port ?? 0
    // The runtime keeps the TCP handle alive, that keeps this object alive, and this object keeps the TLS handle alive.
    tcp.owner = this
    const handle = this.#handle
    handle.owner = this
    handle.onread = parts.handles.tellOwner
    handle.useUserBuffer(parts.readBuffer)
    handle.reading = true
    handle.readStart()
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  /** All zero if the remote had gone before its connection was accepted. */
  get remote(): RemoteAddress {
    return { ip: ipToBytes(unmapped(this.#address)), port: this.#port }
  }

  onRecords(): void {
    if (this.#isNoted || this.#isClosed) return
    this.#isNoted = true
    this.#parts.recordChecks.note(this)
  }

  onHandshakeDone(): void {
    if (this.#tls !== undefined) this.#parts.onHandshakeDone(this, this.#tls)
  }

  get #handle(): StreamHandle | TlsHandle {
    return this.#tls ?? this.#tcp
  }

  get #isClosing(): boolean {
    return this.#closing !== undefined
  }

  // ── reading ──

  onRead(byteCount: number, records: number): void {
    if (this.#isClosed || byteCount === 0) return
    if (byteCount < 0) return this.#onEnd(byteCount)
    this.#records += records
    if (this.#closing !== undefined) return this.#closing.drop(byteCount)
    const { scheduler, readBuffer } = this.#parts
    const { isOnlyRead } = this.readState
    if (isOnlyRead) scheduler.flushControl.hold(false)
    this.#listener?.receive(readBuffer, 0, byteCount)
    if (isOnlyRead) scheduler.flushControl.release()
    scheduler.onRead(this, byteCount, records)
  }

  /** Thousands may end in one turn: packets that were read before this end do not wait for the other ends. */
  #onEnd(error: number): void {
    const { scheduler, ends } = this.#parts
    scheduler.flushControl.flushSoFar()
    ends.run(() => this.#onRemoteEnd(error))
  }

  poll(): number {
    // The end of the stream and its cause are reported by read events only.
    if (this.#isClosed || this.#isClosing || this.#isPaused) return -1
    const buffer = this.#tls === undefined ? this.#parts.readBuffer : cipherBytes
    const byteCount = readAtOnce(this.#parts.native, this.#tcp.fd, buffer)
    if (byteCount <= 0) return byteCount
    if (this.#tls === undefined) {
      this.#listener?.receive(buffer, 0, byteCount)
      this.#parts.scheduler.onRead(this, byteCount)
    } else {
      this.#polledBytes += byteCount
      this.#tls.receive(byteCount === buffer.length ? buffer : buffer.subarray(0, byteCount))
    }
    return byteCount
  }

  checkRecords(nowMs: number): void {
    this.#isNoted = false
    if (this.#recordBudget === undefined || this.#tls === undefined || this.#isClosed) return
    const { cipherBytes = this.#tcp.bytesRead + this.#polledBytes } = this.#tls
    // TLS that does not tell of records may have received some at any time.
    if (this.#tls.cipherBytes === undefined) this.onRecords()
    const overheadBytes = cipherBytes - this.#tls.bytesRead
    const records = this.#records
    this.#records = 0
    if (!this.#recordBudget.isExceeded(overheadBytes, records, nowMs)) return
    this.isUseless = true
    this.#endReason = EndReason.uselessRecords
    this.destroy()
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
    const { native } = this.#parts
    return native === undefined || this.#isClosed ? 0 : native.roundTripUs(this.#tcp.fd) / 1e6
  }

  pause(): void {
    this.#isPaused = true
    this.applyReadState()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#isEndDeferred) this.#onRemoteEnd(END_OF_STREAM)
    else this.applyReadState()
  }

  applyReadState(): void {
    if (this.#isClosed) return
    const isReading = this.#isClosing || (this.readState.wantsReadEvents && !this.#isPaused)
    const handle = this.#handle
    if (handle.reading === isReading) return
    handle.reading = isReading
    if (isReading) handle.readStart()
    else handle.readStop()
  }

  #onRemoteEnd(error: number): void {
    if (this.#isClosed) return
    this.#isEndDeferred = error === END_OF_STREAM && this.#isPaused && !this.#isClosing
    if (this.#isEndDeferred) return
    this.#hasRemoteEnded = true
    if (error !== END_OF_STREAM) this.#endReason = reasonOf(error)
    if (error !== END_OF_STREAM || this.#isShutDown) this.destroy()
    else if (!this.#isFinishing) this.close()
  }

  // ── writing ──

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#isClosed) return false
    if (isLast && this.#unsent === undefined && this.#canSendUncopied(bytes)) {
      this.#send(bytes)
    } else {
      this.#unsent ??= []
      this.#unsent.push(bytes)
      if (isLast) this.#sendNext()
    }
    // TLS has encrypted or copied the bytes that it was given.
    return this.#tls !== undefined && this.#unsent === undefined
  }

  #canSendUncopied(bytes: Uint8Array): boolean {
    if (this.#tls === undefined || bytes.length <= SMALL_WRITE_BYTES) return true
    return bytes.length <= SCRATCH_BYTES && this.#writesAtOnce
  }

  /** Large buffers cost nothing, or are worth their memory. */
  get #writesAtOnce(): boolean {
    return this.#tls?.keepsLargestWrite === false || this.#writeVolume?.isLarge === true
  }

  /** Sends the rest of a burst; under TLS, the part of it that is to be encrypted in one write. */
  #sendNext(): void {
    const unsent = this.#unsent ?? []
    this.#unsent = undefined
    if (this.#tls === undefined) return this.#send(unsent)
    const bytesMax = this.#writesAtOnce ? SCRATCH_BYTES : SMALL_WRITE_BYTES
    let byteCount = 0
    for (const [i, part] of unsent.entries()) {
      const copied = Math.min(part.length, bytesMax - byteCount)
      scratch.set(copied === part.length ? part : part.subarray(0, copied), byteCount)
      byteCount += copied
      if (copied === part.length) continue
      this.#unsent = unsent.slice(i)
      this.#unsent[0] = part.subarray(copied)
      break
    }
    if (!this.#writesAtOnce) (this.#writeVolume ??= new WriteVolume()).add(byteCount, this.#parts.now())
    this.#send(scratch.subarray(0, byteCount))
  }

  #send(bytes: Uint8Array | Uint8Array[]): void {
    const { WriteRequest, wasAsync } = this.#parts.handles
    const request = new WriteRequest()
    request.owner = this
    request.oncomplete = onWritten
    this.#isWriting = true
    const status = Array.isArray(bytes)
      ? this.#tcp.writev(request, bytes, true)
      : this.#handle.writeBuffer(request, bytes)
    // A write that completes at once is reported in a later turn, since the relay is in the middle of writing.
    if (status !== 0 || !wasAsync()) setImmediate(() => this.onWritten(status))
    // The system reads the bytes later: until then they must not be garbage-collected.
    else request.bytes = bytes
  }

  onWritten(status: number): void {
    this.#isWriting = false
    if (this.#isClosed) return
    if (status < 0) {
      this.#endReason = reasonOf(status)
      this.destroy()
    } else if (this.#unsent !== undefined) {
      this.#sendNext()
    } else if (this.#isClosing || this.#isFinishing) {
      this.#shutDown()
    } else {
      this.#listener?.written()
    }
  }

  // ── ending ──

  get receivedBytes(): number {
    return this.#isClosed ? 0 : this.#tcp.bytesRead + this.#polledBytes
  }

  get sentBytes(): number {
    return this.#isClosed ? 0 : this.#tcp.bytesWritten
  }

  finish(): void {
    if (this.#isFinishing || this.#isClosing || this.#isClosed) return
    this.#isFinishing = true
    if (!this.#isWriting) this.#shutDown()
  }

  close(): void {
    if (this.#isClosing || this.#isClosed) return
    this.#closing = new GracefulClose(() => this.destroy())
    this.#hasRemoteEnded ||= this.#isEndDeferred
    this.applyReadState()
    if (!this.#isWriting && !this.#isFinishing) this.#shutDown()
  }

  #shutDown(): void {
    const request = new this.#parts.handles.ShutdownRequest()
    request.owner = this
    request.oncomplete = onShutDown
    if (this.#handle.shutdown(request) !== 0) this.destroy()
  }

  onShutDown(): void {
    this.#isShutDown = true
    if (this.#hasRemoteEnded) this.destroy()
  }

  onTlsError(): void {
    this.isTlsBroken = true
    this.#endReason = EndReason.remoteReset
    this.destroy()
  }

  destroy(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closing?.end()
    this.#tcp.close(() => this.#onClosed())
  }

  #onClosed(): void {
    this.#tls?.destroySSL()
    this.#parts.onClosed(this)
    // Not earlier: until now the system may read the bytes that it was given to write.
    this.#listener?.closed(this.#endReason)
    this.#listener = undefined
  }
}

/** The kernel's time limit (TCP_USER_TIMEOUT, or keepalive probes) ends a connection whose remote no longer acknowledges. */
function reasonOf(error: number): EndReason {
  return error === TIMED_OUT ? EndReason.unacknowledged : EndReason.remoteReset
}

function onWritten(this: HandleRequest, status: number): void {
  this.owner?.onWritten(status)
}

function onShutDown(this: HandleRequest): void {
  this.owner?.onShutDown()
}
