// One TLS connection by native calls of OpenSSL, over a TCP handle of the runtime: wears the interface of the runtime's own TLS
// handle. All that it owns in native memory is the connection's TLS state (SSL). Records come in and go out through the thread's
// two memory BIOs (openssl-buffers.ts).
//
// Contract: as of the runtime's handle. OpenSSL calls nothing in JavaScript. After a fault, or after `destroySSL`, OpenSSL is not
// called any more for this connection. What OpenSSL has to say is sent before the owner is told anything, so the owner may write
// on any connection, and may end this one.

import { constants } from 'node:os'
import type { OpensslBuffers } from './openssl-buffers.ts'
import { SSL_ERROR_WANT_READ, SSL_READING, SSL_RECEIVED_SHUTDOWN, TLS1_3_VERSION } from './openssl.ts'
import type { HandleOwner, HandleRequest, TcpHandle, TlsHandle } from './runtime-handles.ts'

/** The runtime's error number for the end of the stream. */
const END_OF_STREAM = -4095
const BROKEN = -constants.errno.EPROTO
/** RFC 8446 §5.1: the content of a record … */
const RECORD_BYTES_MAX = 16_384
/** … and the least that a client can ask for (RFC 6066 §4), which OpenSSL grants. */
const RECORD_LIMIT_BYTES_MIN = 512
/** The least that a record has besides: its header and tag, in TLS 1.3 its type, in TLS 1.2 with AES a nonce of 8 bytes. */
const RECORD_OVERHEAD_BYTES = 21
const RECORD_OVERHEAD_1_3_BYTES = 22
const NONCE_BYTES = 8
/** A handshake that has brought so much is none: certificates of clients are not requested. */
const HANDSHAKE_BYTES_MAX = 65_536
/** Most that waits to be sent of what TLS itself says: flights of a handshake, answers to key updates, alerts. */
const OWN_BYTES_MAX = 65_536

export class OpensslHandle implements TlsHandle {
  owner?: HandleOwner
  reading = false
  bytesRead = 0
  cipherBytes = 0
  /** OpenSSL's buffers last as long as a write. */
  readonly keepsLargestWrite = false
  readonly #shared: OpensslBuffers
  readonly #tcp: TcpHandle
  /** Its address; 0 once it is freed. */
  #tls: number
  #handshakeBytes = 0
  #isHandshaking = true
  /** TLS has failed: nothing is read or written any more. */
  #isBroken = false
  /** OpenSSL has read all input, and waits for more. */
  #wantsMore = false
  /** The input read so far ends with a whole record of data. */
  #isAtRecord = false
  #overheadBytes = RECORD_OVERHEAD_BYTES
  #hasEnded = false
  #isShutDown = false
  /** Rented bytes of what TLS itself has said and the system has not taken yet. */
  #ownBytes = 0

  constructor(shared: OpensslBuffers, tcp: TcpHandle, tls: number) {
    this.#shared = shared
    this.#tcp = tcp
    this.#tls = tls
    tcp.tls = this
  }

  // Everything is told to the owner, and read into the buffer of the layer.
  onread(): void {}
  useUserBuffer(): void {}

  readStart(): number {
    return this.#tcp.readStart()
  }

  readStop(): number {
    return this.#tcp.readStop()
  }

  /** Whether OpenSSL may be called. */
  get #isUsable(): boolean {
    return this.#tls !== 0 && !this.#isBroken && !this.#shared.isClosed
  }

  getProtocol(): string | null {
    if (!this.#isUsable) return null
    return this.#shared.openssl.version(this.#tls) === TLS1_3_VERSION ? 'TLSv1.3' : 'TLSv1.2'
  }

  // ── reading ──

  /** The TCP handle has read bytes, or has ended. */
  onTcpRead(): void {
    const byteCount = this.#shared.handles.bytesRead()
    if (byteCount > 0) return this.#input(this.#shared.cipherBuffer, byteCount)
    if (byteCount < 0) this.#end(byteCount)
  }

  receive(bytes: Uint8Array): void {
    this.#input(bytes, bytes.length)
  }

  #input(bytes: Uint8Array, byteCount: number): void {
    if (!this.#isUsable || this.#hasEnded) return
    this.#shared.beginInput(bytes, byteCount)
    this.cipherBytes += byteCount
    this.owner?.onRecords()
    this.#wantsMore = false
    try {
      if (this.#isHandshaking) this.#continueHandshake(byteCount)
      if (!this.#isHandshaking) this.#readRecords(byteCount)
    } finally {
      this.#shared.endInput(this.#wantsMore)
    }
  }

  #continueHandshake(byteCount: number): void {
    const { openssl } = this.#shared
    openssl.clearErrors()
    const result = openssl.handshake(this.#tls)
    const error = result === 1 ? 0 : openssl.errorOf(this.#tls, result)
    this.#sendOwn()
    if (result === 1) {
      this.#isHandshaking = false
      if (openssl.version(this.#tls) === TLS1_3_VERSION) this.#overheadBytes = RECORD_OVERHEAD_1_3_BYTES
      return this.owner?.onHandshakeDone()
    }
    this.#handshakeBytes += byteCount
    this.#wantsMore = error === SSL_ERROR_WANT_READ
    if (!this.#wantsMore || this.#handshakeBytes > HANDSHAKE_BYTES_MAX) this.#fail()
  }

  #readRecords(inputBytes: number): void {
    const { openssl, readAddress, readBuffer } = this.#shared
    let leftBytes = inputBytes
    // The owner may have ended the connection meanwhile.
    while (this.#isUsable) {
      let result = 0
      let byteCount = 0
      let records = 0
      let isRead = false
      while (!isRead && readBuffer.length - byteCount >= RECORD_BYTES_MAX) {
        result = openssl.read(this.#tls, readAddress + byteCount, readBuffer.length - byteCount)
        if (result <= 0) break
        byteCount += result
        records++
        leftBytes -= result + this.#overheadBytes
        isRead = this.#isInputRead(leftBytes)
      }
      const wanted = result > 0 ? (isRead ? SSL_READING : 0) : openssl.want(this.#tls)
      const isPlain = isRead && leftBytes === 0 && this.#isAtRecord
      this.#isAtRecord = isRead
      if (!isPlain) this.#sendOwn()
      this.bytesRead += byteCount
      if (byteCount > 0) this.owner?.onRead(byteCount, records)
      if (result > 0 && !isRead) continue
      this.#wantsMore = wanted === SSL_READING
      if (!this.#wantsMore) this.#endOrFail()
      return
    }
  }

  /**
   * Whether all input has been read. To ask for a record that is not there costs more than to ask for the bytes that are left.
   * And where the chunk began with a record and is as long as the data and the least that its records have besides, none are.
   */
  #isInputRead(leftBytes: number): boolean {
    if (leftBytes === 0 && this.#isAtRecord) return true
    return leftBytes <= 0 && this.#shared.isInputRead
  }

  #endOrFail(): void {
    if (!this.#isUsable) return
    const { openssl } = this.#shared
    if ((openssl.shutdownState(this.#tls) & SSL_RECEIVED_SHUTDOWN) === 0) this.#fail()
    else this.#end(END_OF_STREAM)
  }

  /** The remote has ended TLS or TCP; whichever comes second is no news. */
  #end(error: number): void {
    if (this.#hasEnded || this.#isBroken) return
    this.#hasEnded = true
    this.owner?.onRead(error, 0)
  }

  #fail(): void {
    if (this.#isBroken) return
    this.#isBroken = true
    this.#shared.openssl.clearErrors()
    this.owner?.onTlsError()
  }

  // ── writing ──

  writeBuffer(request: HandleRequest, bytes: Uint8Array): number {
    const { openssl } = this.#shared
    if (!this.#isUsable) return BROKEN
    if (bytes.length === 0) return this.#tcp.writeBuffer(request, bytes)
    // A memory BIO takes everything.
    if (openssl.write(this.#tls, bytes, bytes.length) === bytes.length) {
      return this.#shared.sendOutput(this.#tcp, request, sealedBytesMax(bytes.length)).status
    }
    this.#isBroken = true
    openssl.clearErrors()
    this.#sendOwn()
    return BROKEN
  }

  /** Sends what TLS itself has said. */
  #sendOwn(): void {
    const { outputBytes } = this.#shared
    if (outputBytes <= 0) return
    const request = new this.#shared.handles.WriteRequest()
    request.oncomplete = () => void (this.#ownBytes -= lentBytes)
    const { lentBytes } = this.#shared.sendOutput(this.#tcp, request, outputBytes)
    this.#ownBytes += lentBytes
    if (this.#ownBytes > OWN_BYTES_MAX) this.#fail()
  }

  /** Ends TLS, then TCP, after everything that was written. */
  shutdown(request: HandleRequest): number {
    const { openssl } = this.#shared
    if (this.#isUsable && !this.#isHandshaking && !this.#isShutDown) {
      this.#isShutDown = true
      openssl.clearErrors()
      openssl.shutdown(this.#tls)
      openssl.clearErrors()
      this.#sendOwn()
    }
    return this.#tcp.shutdown(request)
  }

  destroySSL(): void {
    const tls = this.#tls
    this.#tls = 0
    if (tls !== 0) this.#shared.memory.freeConnection(tls)
  }
}

/** At least what the records have in which so many bytes leave, with one record of TLS itself. */
function sealedBytesMax(byteCount: number): number {
  const records = Math.floor(byteCount / RECORD_LIMIT_BYTES_MIN) + 2
  return byteCount + records * (RECORD_OVERHEAD_1_3_BYTES + NONCE_BYTES)
}
