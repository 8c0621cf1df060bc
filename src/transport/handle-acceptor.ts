// How connections come in over the runtime's handles. The first record of a TLS connection is read before there is TLS
// for it: so nothing but a descriptor and what it has sent is spent on who says nothing or half, TLS gets a buffer of
// 1 KiB instead of 64, and a storm of hellos can be taken in by turns.

import { createServer, type AddressInfo, type Server } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { helloState } from '#protocol/tls-hello.ts'
import { Counter } from '#relay/counters.ts'
import { TurnQueue } from '#relay/turn-queue.ts'
import { HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX, type Acceptor, type AcceptorParts } from './connection.ts'
import { HandleConnection, type HandleConnectionParts } from './handle-connection.ts'
import { Listener } from './listening-port.ts'
import { PendingHandshakes, type PendingHandshake } from './pending-handshakes.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import type { ListeningHandle, RuntimeHandles, TcpHandle, TlsHandle } from './runtime-handles.ts'

/** What libuv reads at once; the largest run of bytes that one call brings. */
const READ_BUFFER_BYTES = 65_536
/** A handshake takes half a millisecond of the thread; packets wait no longer than four of them. */
const HANDSHAKES_PER_TURN_MAX = 4
/** To see one off is a tenth of a millisecond's work, half of it in a later turn; ten thousand may end at once. */
const ENDS_PER_TURN_MAX = 32
const ENDS_MS_PER_TURN = 2
/** Who has not finished for so long makes room for the next one. Answers from the other side of the earth take 0.4 s. */
const HANDSHAKE_PATIENCE_MS = 3_000
/** TLS's input buffer has 1 KiB; when that is full it gets another of 16 KiB, for good. */
const HELLO_PIECE_BYTES = 1_023
/** Each connection's records are looked at in every so many sweeps … */
const SWEEPS_PER_LOOK = 8
/** … and all of them at once after one that comes so late that something must have kept the thread busy. */
const LATE_SWEEP_MS = 100
/** RFC 7301 §3.1: each name after its length. */
const ALPN_HTTP11 = Buffer.from('\x08http/1.1', 'latin1')

export interface HandleAcceptorParts extends AcceptorParts {
  readonly handles: RuntimeHandles
  readonly scheduler: ReadScheduler
}

export class HandleAcceptor implements Acceptor {
  readonly #parts: HandleAcceptorParts
  readonly #connectionParts: HandleConnectionParts
  readonly #context: SecureContext | undefined
  readonly #server: Server = createServer()
  readonly #listener: Listener
  readonly #helloBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly #pendingHandshakes: PendingHandshakes
  readonly #handshakesMax: number
  /** Those in the middle of their TLS handshake, and since when they are; oldest first. */
  readonly #handshakes = new Map<HandleConnection, number>()
  readonly #connections = new Set<HandleConnection>()
  /** Where the last sweep stopped. */
  #looking = this.#connections.values()
  #sweptMs: number
  /** Those of the pending handshakes whose hello is here. */
  #queue: PendingHandshake[] = []
  #handshakesThisTurn = 0
  #isTurnComing = false

  constructor(parts: HandleAcceptorParts) {
    this.#parts = parts
    const { counters, now } = parts
    this.#listener = new Listener(this.#server, { counters, now, listening: () => this.#onListening() })
    this.#sweptMs = now()
    this.#pendingHandshakes = new PendingHandshakes(parts.threadCount)
    this.#handshakesMax = Math.ceil(HANDSHAKES_MAX / parts.threadCount)
    this.#context = parts.identity && createSecureContext(parts.identity)
    this.#connectionParts = {
      handles: parts.handles,
      scheduler: parts.scheduler,
      now: parts.now,
      ends: new TurnQueue({
        perTurnMax: ENDS_PER_TURN_MAX,
        perTurnMs: ENDS_MS_PER_TURN,
        now: parts.now,
        nextTurn: setImmediate,
      }),
      readBuffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
      secured: (connection, tls) => this.#secured(connection, tls),
      left: (connection) => this.#left(connection),
    }
  }

  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    return await this.#listener.listen(endpoint, isShared)
  }

  #onListening(): void {
    const { _handle: listening } = this.#server as unknown as { _handle: ListeningHandle }
    listening.onconnection = (error, tcp) => {
      if (error === 0) this.#onConnection(tcp)
    }
  }

  sweep(): void {
    this.#listener.sweep()
    const nowMs = this.#parts.now()
    // Both begin with the oldest.
    for (const pending of this.#pendingHandshakes) {
      if (nowMs - pending.sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#dismiss(pending, Counter.handshakesTimedOut)
    }
    for (const [connection, sinceMs] of this.#handshakes) {
      if (nowMs - sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#giveUp(connection, Counter.handshakesTimedOut)
    }
    if (this.#queue.length > 0) this.#turnLater()
    if (this.#context !== undefined) this.#lookAtRecords(nowMs)
    this.#sweptMs = nowMs
  }

  /** Ends those whose records bring no data: some of the connections are looked at, the others in the next sweeps. */
  #lookAtRecords(nowMs: number): void {
    const isLate = nowMs - this.#sweptMs >= LATE_SWEEP_MS
    const { size } = this.#connections
    const count = isLate ? size : Math.ceil(size / SWEEPS_PER_LOOK)
    for (let i = 0; i < count; i++) {
      const { value: connection } = this.#looking.next()
      if (connection !== undefined) {
        connection.lookAtRecords(nowMs)
        continue
      }
      this.#looking = this.#connections.values()
      if (!isLate) return
    }
  }

  async close(): Promise<void> {
    const closed = this.#listener.close()
    for (const pending of this.#pendingHandshakes) this.#dismiss(pending)
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  #onConnection(tcp: TcpHandle): void {
    const { keepAliveMs } = this.#parts
    if (!this.#hasDescriptorFor(tcp) || !this.#parts.mayAccept()) return tcp.close(() => undefined)
    tcp.setNoDelay(true)
    if (keepAliveMs > 0) tcp.setKeepAlive(true, Math.ceil(keepAliveMs / 1_000))
    if (this.#context === undefined) {
      const connection = new HandleConnection(tcp, undefined, this.#connectionParts)
      this.#connections.add(connection)
      return this.#parts.accepted(connection)
    }
    const pending = this.#pendingHandshakes.add(tcp, this.#parts.now())
    tcp.useUserBuffer(this.#helloBuffer)
    tcp.onread = () => {
      const byteCount = this.#parts.handles.bytesRead()
      if (byteCount > 0) return this.#onBytes(pending, byteCount)
      if (byteCount < 0) this.#dismiss(pending, Counter.handshakesLeft)
    }
    tcp.readStart()
  }

  /** Who has said nothing for long makes room for who comes now. */
  #hasDescriptorFor({ fd }: TcpHandle): boolean {
    if (this.#listener.mayTake(fd)) return true
    for (const pending of this.#pendingHandshakes) {
      if (this.#parts.now() - pending.sinceMs < HANDSHAKE_PATIENCE_MS) return false
      this.#dismiss(pending, Counter.handshakesCrowdedOut)
      return false
    }
    return false
  }

  /** @param reason what it counts as; nothing if its going is not its own fault */
  #dismiss(pending: PendingHandshake, reason?: number): void {
    if (reason !== undefined) this.#parts.counters.add(reason, 1)
    this.#pendingHandshakes.delete(pending)
    pending.tcp.close(() => undefined)
  }

  #onBytes(pending: PendingHandshake, byteCount: number): void {
    const part = this.#helloBuffer.subarray(0, byteCount)
    const bytes = pending.hello === undefined ? part : Buffer.concat([pending.hello, part])
    const state = helloState(bytes)
    if (state === 'foreign') this.#dismiss(pending, Counter.handshakesNotTls)
    else if (state === 'partial') this.#hold(pending, bytes)
    else this.#onHello(pending, bytes)
  }

  /** What it has sent is kept, since it lies in everybody's buffer. */
  #hold(pending: PendingHandshake, bytes: Buffer): void {
    this.#pendingHandshakes.hold(pending, Buffer.from(bytes))
    for (
      let last = this.#pendingHandshakes.superfluous;
      last !== undefined;
      last = this.#pendingHandshakes.superfluous
    ) {
      this.#dismiss(last, Counter.handshakesCrowdedOut)
    }
  }

  #onHello(pending: PendingHandshake, hello: Buffer): void {
    this.#turnLater()
    if (this.#handshakesThisTurn < HANDSHAKES_PER_TURN_MAX && this.#mayBegin()) {
      this.#handshakesThisTurn++
      return this.#beginTls(pending, hello)
    }
    pending.tcp.readStop()
    this.#queue.push(pending)
    this.#hold(pending, hello)
  }

  #turnLater(): void {
    if (this.#isTurnComing) return
    this.#isTurnComing = true
    setImmediate(this.#onTurn)
  }

  /** Takes in some of those who wait, before those who come in this turn. */
  readonly #onTurn = (): void => {
    this.#isTurnComing = false
    this.#handshakesThisTurn = 0
    let taken = 0
    for (const pending of this.#queue) {
      if (this.#handshakesThisTurn === HANDSHAKES_PER_TURN_MAX || !this.#mayBegin()) break
      taken++
      // Who has been dismissed meanwhile is no longer pending.
      if (!this.#pendingHandshakes.has(pending)) continue
      this.#handshakesThisTurn++
      this.#beginTls(pending, pending.hello ?? Buffer.alloc(0))
    }
    if (taken === 0) return
    this.#queue = this.#queue.slice(taken)
    this.#turnLater()
  }

  /** Whether there is room for one more handshake; who takes too long makes some. */
  #mayBegin(): boolean {
    if (this.#handshakes.size < this.#handshakesMax) return true
    for (const [connection, sinceMs] of this.#handshakes) {
      if (this.#parts.now() - sinceMs < HANDSHAKE_PATIENCE_MS) return false
      this.#giveUp(connection, Counter.handshakesCrowdedOut)
      return true
    }
    return true
  }

  #beginTls(pending: PendingHandshake, hello: Buffer): void {
    const { handles } = this.#parts
    const { tcp } = pending
    this.#pendingHandshakes.delete(pending)
    const tls = handles.wrapTls(tcp, this.#context as SecureContext)
    tls.setALPNProtocols(ALPN_HTTP11)
    tcp.onread = nothing
    const connection = new HandleConnection(tcp, tls, this.#connectionParts)
    this.#connections.add(connection)
    this.#handshakes.set(connection, this.#parts.now())
    for (let at = 0; at < hello.length; at += HELLO_PIECE_BYTES) {
      tls.receive(hello.subarray(at, at + HELLO_PIECE_BYTES))
    }
  }

  #giveUp(connection: HandleConnection, reason: number): void {
    this.#handshakes.delete(connection)
    this.#parts.counters.add(reason, 1)
    connection.destroy()
  }

  #secured(connection: HandleConnection, tls: TlsHandle): void {
    const { counters } = this.#parts
    if (!this.#handshakes.delete(connection)) return
    if (this.#queue.length > 0) this.#turnLater()
    connection.isTls13 = tls.getProtocol() === 'TLSv1.3'
    connection.isSecure = true
    counters.add(connection.isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
    counters.add(connection.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, 1)
    this.#parts.accepted(connection)
  }

  #left(connection: HandleConnection): void {
    const { counters } = this.#parts
    this.#connections.delete(connection)
    if (this.#context === undefined) return
    if (connection.isUseless) counters.add(Counter.tlsUseless, 1)
    if (connection.isSecure) {
      counters.add(connection.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, -1)
    } else if (this.#handshakes.delete(connection)) {
      counters.add(connection.isTlsBroken ? Counter.handshakesBroken : Counter.handshakesLeft, 1)
      if (this.#queue.length > 0) this.#turnLater()
    }
  }
}

function nothing(): void {}
