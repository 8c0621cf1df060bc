// What all TLS connections of a thread share that are made by native calls (openssl-layer.ts): one memory BIO of OpenSSL through
// which records come in, one through which they go out, and the buffers of both ends.
//
// Contract: no byte of one connection reaches another. The BIO for output is empty whenever an owner of a connection is called;
// the one for input belongs to one connection until that is read, and then it is empty, too.

import { BufferPool } from '#protocol/buffer-pool.ts'
import { addressOf } from './native.ts'
import { OpensslMemory } from './openssl-memory.ts'
import { BIO_CTRL_PENDING, BIO_CTRL_RESET, loadOpenssl, type Openssl } from './openssl.ts'
import type { HandleRequest, RuntimeHandles, TcpHandle } from './runtime-handles.ts'
import { READ_BUFFER_BYTES } from './tls-layer.ts'

/** What was sent, and whether the system has taken it. */
interface SentOutput {
  readonly status: number
  /** Rented bytes that are given back when the write completes; 0 if it has. */
  readonly lentBytes: number
}

/** A write whose bytes lie in a rented buffer. */
interface LendingRequest extends HandleRequest {
  lent?: Buffer
  next?: HandleRequest['oncomplete']
}

const SENT: SentOutput = { status: 0, lentBytes: 0 }

interface Parts {
  readonly openssl: Openssl
  readonly handles: RuntimeHandles
  readonly readBuffer: Buffer
  /** Where that lies. */
  readonly readAddress: number
}

export class OpensslBuffers {
  readonly openssl: Openssl
  readonly memory: OpensslMemory
  readonly handles: RuntimeHandles
  /** Where data is read to. */
  readonly readBuffer: Buffer
  readonly readAddress: number
  /** Where all TCP handles read to. */
  readonly cipherBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly input: number
  readonly output: number
  readonly #pool = new BufferPool()
  #isReading = false
  #isClosed = false

  private constructor({ openssl, handles, readBuffer, readAddress }: Parts) {
    this.openssl = openssl
    this.handles = handles
    this.readBuffer = readBuffer
    this.readAddress = readAddress
    this.memory = new OpensslMemory(openssl)
    this.input = this.memory.newBio()
    this.output = this.memory.newBio()
  }

  /** @throws Error if native calls or OpenSSL's functions are not there or not known */
  static async open(handles: RuntimeHandles): Promise<OpensslBuffers> {
    const openssl = await loadOpenssl()
    const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
    return new OpensslBuffers({ openssl, handles, readBuffer, readAddress: await addressOf(readBuffer) })
  }

  /** Of buffers that the system reads now. */
  get lentBytes(): number {
    return this.#pool.lentBytes
  }

  /** From here until `endInput`, one connection's TLS state reads the first `byteCount` of `bytes`. */
  beginInput(bytes: Uint8Array, byteCount: number): void {
    if (this.#isReading) throw new Error('a TLS connection is read while another one is')
    this.#isReading = true
    if (this.openssl.writeBio(this.input, bytes, byteCount) !== byteCount) throw new Error('out of memory')
  }

  /** @param isConsumed OpenSSL has read all of it; otherwise the rest is dropped */
  endInput(isConsumed: boolean): void {
    this.#isReading = false
    if (!isConsumed) this.openssl.controlBio(this.input, BIO_CTRL_RESET, 0, 0)
  }

  get isInputRead(): boolean {
    return this.openssl.controlBio(this.input, BIO_CTRL_PENDING, 0, 0) === 0
  }

  get outputBytes(): number {
    return this.openssl.controlBio(this.output, BIO_CTRL_PENDING, 0, 0)
  }

  /**
   * Writes all output to `tcp`, by one request.
   * @param bytesMax there is no more output than that, but some
   */
  sendOutput(tcp: TcpHandle, request: LendingRequest, bytesMax: number): SentOutput {
    // With a byte to spare: a full buffer would mean that there is more.
    const buffer = this.#pool.rent(bytesMax + 1)
    const byteCount = this.openssl.readBio(this.output, buffer, buffer.length)
    if (byteCount <= 0 || byteCount === buffer.length)
      throw new Error(`OpenSSL has ${byteCount} bytes of output`)
    const status = tcp.writeBuffer(request, buffer.subarray(0, byteCount))
    if (status !== 0 || !this.handles.wasAsync()) {
      this.#pool.giveBack(buffer)
      return status === 0 ? SENT : { status, lentBytes: 0 }
    }
    request.lent = buffer
    request.next = request.oncomplete
    request.oncomplete = this.#onWritten
    return { status, lentBytes: buffer.length }
  }

  readonly #onWritten = this.#giveBackAfter()

  /** What the runtime calls when a write completes later. */
  #giveBackAfter(): (this: LendingRequest, status: number) => void {
    const pool = this.#pool
    return function onWritten(status) {
      if (this.lent !== undefined) pool.giveBack(this.lent)
      delete this.lent
      this.next?.(status)
    }
  }

  trim(): void {
    this.#pool.trim()
  }

  /** Nothing of it is used any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Frees everything, also connections that live. */
  close(): void {
    this.#isClosed = true
    this.memory.freeAll()
  }
}
