// How connections come in over the runtime's handles. The first bytes of a TLS connection are read before
// there is TLS for it: so nothing but a descriptor is spent on who says nothing, TLS gets a buffer of 1 KiB
// instead of 64, and a storm of hellos can be taken in by turns.

import { createServer, type AddressInfo, type Server } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { Counter } from '#relay/counters.ts'
import { HANDSHAKE_TIMEOUT_MS, type Entrance, type EntranceParts } from './caller.ts'
import { DirectCaller, type DirectParts } from './direct-caller.ts'
import { listenOn } from './listening-server.ts'
import type { ReadPace } from './read-pace.ts'
import type { ListeningHandle, RuntimeHandles, TcpHandle, TlsHandle } from './runtime-handles.ts'

/** What libuv reads at once; the largest run of bytes that one call brings. */
const READ_BUFFER_BYTES = 65_536
/** A handshake takes half a millisecond of the thread; packets wait no longer than four of them. */
const HANDSHAKES_PER_TURN_MAX = 4
/** TLS's input buffer has 1 KiB; when that is full it gets another of 16 KiB, for good. */
const HELLO_PIECE_BYTES = 1_023
/** RFC 7301 §3.1: each name after its length. */
const ALPN_HTTP11 = Buffer.from('\x08http/1.1', 'latin1')

/** A TCP connection whose TLS hello has not come, or waits for its turn. */
interface Newcomer {
  readonly tcp: TcpHandle
  readonly sinceMs: number
  hello: Buffer | undefined
}

export interface DirectEntranceParts extends EntranceParts {
  readonly handles: RuntimeHandles
  readonly pace: ReadPace
}

export class DirectEntrance implements Entrance {
  readonly #parts: DirectEntranceParts
  readonly #directParts: DirectParts
  readonly #context: SecureContext | undefined
  readonly #server: Server = createServer()
  readonly #helloBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly #newcomers = new Set<Newcomer>()
  /** Those in the middle of their TLS handshake, and since when they are here. */
  readonly #handshakes = new Map<DirectCaller, number>()
  readonly #callers = new Set<DirectCaller>()
  /** Those of the newcomers whose hello is here. */
  #queue: Newcomer[] = []
  #handshakesThisTurn = 0

  constructor(parts: DirectEntranceParts) {
    this.#parts = parts
    this.#context = parts.identity && createSecureContext(parts.identity)
    this.#directParts = {
      handles: parts.handles,
      pace: parts.pace,
      now: parts.now,
      readBuffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
      secured: (caller, tls) => this.#secured(caller, tls),
      left: (caller) => this.#left(caller),
    }
  }

  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    const address = await listenOn(this.#server, endpoint, isShared)
    const { _handle: listening } = this.#server as unknown as { _handle: ListeningHandle }
    listening.onconnection = (error, tcp) => {
      if (error === 0) this.#onConnection(tcp)
    }
    return address
  }

  sweep(): void {
    const nowMs = this.#parts.now()
    // Both begin with the oldest.
    for (const newcomer of this.#newcomers) {
      if (nowMs - newcomer.sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#dismiss(newcomer)
    }
    for (const [caller, sinceMs] of this.#handshakes) {
      if (nowMs - sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      caller.destroy()
    }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    for (const newcomer of this.#newcomers) this.#dismiss(newcomer)
    for (const caller of this.#callers) caller.destroy()
    await closed
  }

  #onConnection(tcp: TcpHandle): void {
    const { counters, keepAliveMs } = this.#parts
    if (!this.#parts.mayEnter()) return tcp.close(() => undefined)
    tcp.setNoDelay(true)
    if (keepAliveMs > 0) tcp.setKeepAlive(true, Math.ceil(keepAliveMs / 1_000))
    if (this.#context === undefined) {
      const caller = new DirectCaller(tcp, undefined, this.#directParts)
      this.#callers.add(caller)
      return this.#parts.entered(caller)
    }
    const newcomer: Newcomer = { tcp, sinceMs: this.#parts.now(), hello: undefined }
    this.#newcomers.add(newcomer)
    tcp.useUserBuffer(this.#helloBuffer)
    tcp.onread = () => {
      const byteCount = this.#parts.handles.bytesRead()
      if (byteCount > 0) return this.#onHello(newcomer, byteCount)
      if (byteCount === 0) return
      counters.add(Counter.handshakesFailed, 1)
      this.#dismiss(newcomer)
    }
    tcp.readStart()
  }

  #dismiss(newcomer: Newcomer): void {
    this.#newcomers.delete(newcomer)
    newcomer.tcp.close(() => undefined)
  }

  #onHello(newcomer: Newcomer, byteCount: number): void {
    if (this.#handshakesThisTurn === 0) setImmediate(this.#onTurn)
    const hello = this.#helloBuffer.subarray(0, byteCount)
    if (this.#handshakesThisTurn++ < HANDSHAKES_PER_TURN_MAX) return this.#beginTls(newcomer, hello)
    newcomer.tcp.readStop()
    newcomer.hello = Buffer.from(hello)
    this.#queue.push(newcomer)
  }

  /** Takes in some of those who wait, before those who come in this turn. */
  readonly #onTurn = (): void => {
    this.#handshakesThisTurn = 0
    const queue = this.#queue
    if (queue.length === 0) return
    this.#queue = queue.slice(HANDSHAKES_PER_TURN_MAX)
    setImmediate(this.#onTurn)
    for (const newcomer of queue.slice(0, HANDSHAKES_PER_TURN_MAX)) {
      this.#handshakesThisTurn++
      // Who has been dismissed meanwhile is no longer a newcomer.
      if (this.#newcomers.has(newcomer)) this.#beginTls(newcomer, newcomer.hello ?? Buffer.alloc(0))
    }
  }

  #beginTls(newcomer: Newcomer, hello: Buffer): void {
    const { handles } = this.#parts
    const { tcp, sinceMs } = newcomer
    this.#newcomers.delete(newcomer)
    const tls = handles.wrapTls(tcp, this.#context as SecureContext)
    tls.setALPNProtocols(ALPN_HTTP11)
    tcp.onread = nothing
    const caller = new DirectCaller(tcp, tls, this.#directParts)
    this.#callers.add(caller)
    this.#handshakes.set(caller, sinceMs)
    for (let at = 0; at < hello.length; at += HELLO_PIECE_BYTES) {
      tls.receive(hello.subarray(at, at + HELLO_PIECE_BYTES))
    }
  }

  #secured(caller: DirectCaller, tls: TlsHandle): void {
    const { counters } = this.#parts
    if (!this.#handshakes.delete(caller)) return
    caller.isTls13 = tls.getProtocol() === 'TLSv1.3'
    counters.add(caller.isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
    counters.add(caller.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, 1)
    this.#parts.entered(caller)
  }

  #left(caller: DirectCaller): void {
    const { counters } = this.#parts
    this.#callers.delete(caller)
    if (this.#context === undefined) return
    if (this.#handshakes.delete(caller)) counters.add(Counter.handshakesFailed, 1)
    else counters.add(caller.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, -1)
  }
}

function nothing(): void {}
