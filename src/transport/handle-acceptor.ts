// An acceptor over the runtime's handles. The first record of a TLS connection is read before any TLS state is made for it. So a
// client that sends nothing or half a hello costs a descriptor and the bytes that it has sent, TLS gets an input buffer of 1 KiB
// instead of 64, and the handshakes of a storm of hellos are spread over turns of the event loop. Runs on a relay thread.

import { createServer, type AddressInfo, type Server } from 'node:net'
import { ipToBytes, unmapped } from '#protocol/ip-address.ts'
import { helloState, readHello } from '#protocol/tls-hello.ts'
import { Counter } from '#relay/counters.ts'
import { TurnBudget } from '#relay/turn-budget.ts'
import { TurnQueue } from '#relay/turn-queue.ts'
import { HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX, type Acceptor, type AcceptorParts } from './acceptor.ts'
import { HandleConnection, type HandleConnectionParts } from './handle-connection.ts'
import { HandshakePatience } from './handshake-patience.ts'
import { ListeningPort, userTimeoutOf, type ListenAddress } from './listening-port.ts'
import { PendingHandshakes, type PendingHandshake } from './pending-handshakes.ts'
import { RecordChecks } from './record-checks.ts'
import type { ReadScheduler } from './read-scheduler.ts'
import type { ListeningHandle, RuntimeHandles, SocketName, TcpHandle, TlsHandle } from './runtime-handles.ts'
import { READ_BUFFER_BYTES, type TlsLayer } from './tls-layer.ts'

/** A handshake takes half a millisecond of the thread. In a turn, packets wait for so many milliseconds of them … */
const HANDSHAKE_MS_PER_TURN = 2
/**
 * … or for half as long as the last turn took otherwise. Where a turn takes 50 ms because the thread has many busy clients,
 * those who come meanwhile must not wait for seconds.
 */
const HANDSHAKE_SHARE_OF_TURN = 0.5
/** The end of a connection takes a tenth of a millisecond, half of it in a later turn; ten thousand may end at once. */
const ENDS_PER_TURN_MAX = 16
const ENDS_PER_TURN_MS = 1
/**
 * While there is no descriptor for the next connection, one that has not sent its hello for so long is closed. Answers from the
 * other side of the earth take 0.4 s.
 */
const HELLO_PATIENCE_MS = 3_000
/** A client sends nothing between its hello and the answer. It may send so many bytes that are not looked at. */
const WAITING_BYTES_MAX = 32_768
const TRIM_MS = 1_000

export interface HandleAcceptorParts extends AcceptorParts {
  readonly handles: RuntimeHandles
  /** Undefined: plain TCP. */
  readonly tlsLayer: TlsLayer | undefined
  readonly scheduler: ReadScheduler
}

export class HandleAcceptor implements Acceptor {
  readonly #parts: HandleAcceptorParts
  readonly #connectionParts: HandleConnectionParts
  readonly #server: Server = createServer()
  readonly #port: ListeningPort
  readonly #helloBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  readonly #pendingHandshakes: PendingHandshakes
  readonly #handshakesMax: number
  /** TLS handshakes in progress, and since when; oldest first. */
  readonly #handshakes = new Map<HandleConnection, number>()
  /** Of those, and until they are closed, the validations of an authority: they carry no HTTP. */
  readonly #challenges = new Set<HandleConnection>()
  readonly #connections = new Set<HandleConnection>()
  readonly #recordChecks: RecordChecks
  #trimmedMs = 0
  readonly #patience = new HandshakePatience()
  readonly #budget: TurnBudget
  #isTurnComing = false

  constructor(parts: HandleAcceptorParts) {
    this.#parts = parts
    const { counters, native, now } = parts
    this.#port = new ListeningPort(this.#server, {
      counters,
      now,
      native,
      userTimeout: userTimeoutOf(parts),
      onListening: (servers) => this.#onListening(servers),
    })
    this.#recordChecks = new RecordChecks(now())
    this.#budget = new TurnBudget({
      perTurnMs: HANDSHAKE_MS_PER_TURN,
      shareOfTurn: HANDSHAKE_SHARE_OF_TURN,
      now,
    })
    this.#pendingHandshakes = new PendingHandshakes(parts.threadCount)
    this.#handshakesMax = Math.ceil(HANDSHAKES_MAX / parts.threadCount)
    this.#connectionParts = {
      handles: parts.handles,
      scheduler: parts.scheduler,
      native: parts.native,
      now: parts.now,
      recordChecks: this.#recordChecks,
      ends: new TurnQueue({
        perTurnMax: ENDS_PER_TURN_MAX,
        perTurnMs: ENDS_PER_TURN_MS,
        shareOfTurn: 0,
        now: parts.now,
        nextTurn: setImmediate,
      }),
      readBuffer: parts.tlsLayer?.readBuffer ?? Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
      onHandshakeDone: (connection, tls) => this.#onHandshakeDone(connection, tls),
      onClosed: (connection) => this.#onClosed(connection),
    }
  }

  async listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    return await this.#port.listen(endpoint, isShared)
  }

  #onListening(servers: readonly Server[]): void {
    for (const server of servers) {
      const { _handle: listening } = server as unknown as { _handle: ListeningHandle }
      listening.onconnection = (error, tcp) => {
        if (error === 0) this.#onConnection(tcp)
      }
    }
  }

  setUserTimeout(ms: number): void {
    this.#port.setUserTimeout(ms)
  }

  sweep(): void {
    this.#port.sweep()
    const nowMs = this.#parts.now()
    // Both loops begin with the oldest. A client whose hello waits for its turn is in no delay: this relay is.
    for (const pending of this.#pendingHandshakes.incomplete) {
      if (nowMs - pending.sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#abortPending(pending, Counter.handshakesTimedOut)
    }
    for (const [connection, sinceMs] of this.#handshakes) {
      if (nowMs - sinceMs <= HANDSHAKE_TIMEOUT_MS) break
      this.#abortHandshake(connection, Counter.handshakesTimedOut)
    }
    if (this.#pendingHandshakes.isAnyWaiting) this.#turnLater()
    this.#recordChecks.sweep(nowMs)
    if (nowMs - this.#trimmedMs < TRIM_MS) return
    this.#trimmedMs = nowMs
    this.#parts.tlsLayer?.trim()
  }

  stopListening(): void {
    this.#port.stopListening()
  }

  async close(): Promise<void> {
    const closed = this.#port.close()
    for (const pending of this.#pendingHandshakes.incomplete) this.#abortPending(pending)
    for (const pending of this.#pendingHandshakes.waiting) this.#abortPending(pending)
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  #onConnection(tcp: TcpHandle): void {
    const { host, keepAliveMs } = this.#parts
    if (!this.#hasDescriptorFor(tcp) || !host.tryAccept(() => remoteIp(tcp)))
      return tcp.close(() => undefined)
    tcp.setNoDelay(true)
    if (keepAliveMs > 0) tcp.setKeepAlive(true, Math.ceil(keepAliveMs / 1_000))
    if (this.#parts.tls === undefined) {
      const connection = new HandleConnection(tcp, undefined, this.#connectionParts)
      this.#connections.add(connection)
      return host.onConnection(connection)
    }
    const pending = this.#pendingHandshakes.add(tcp, this.#parts.now())
    tcp.useUserBuffer(this.#helloBuffer)
    tcp.onread = () => {
      const byteCount = this.#parts.handles.bytesRead()
      if (byteCount > 0) return this.#onBytes(pending, byteCount)
      if (byteCount < 0) this.#abortPending(pending, Counter.handshakesLeft)
    }
    tcp.readStart()
  }

  /** If not, ends the oldest connection without a hello if that takes long: the next connection can have its descriptor. */
  #hasDescriptorFor({ fd }: TcpHandle): boolean {
    if (this.#port.mayKeep(fd)) return true
    for (const pending of this.#pendingHandshakes.incomplete) {
      if (this.#parts.now() - pending.sinceMs < HELLO_PATIENCE_MS) return false
      this.#abortPending(pending, Counter.handshakesCrowdedOut)
      return false
    }
    return false
  }

  /** @param reason the counter of failed handshakes; undefined if this is not a failure of the handshake */
  #abortPending(pending: PendingHandshake, reason?: number): void {
    if (reason !== undefined) this.#parts.counters.add(reason, 1)
    this.#pendingHandshakes.delete(pending)
    pending.tcp.close(() => undefined)
  }

  #onBytes(pending: PendingHandshake, byteCount: number): void {
    const part = this.#helloBuffer.subarray(0, byteCount)
    const bytes = pending.hello === undefined ? part : Buffer.concat([pending.hello, part])
    if (this.#pendingHandshakes.isWaiting(pending)) return this.#onMoreBytes(pending, bytes)
    const state = helloState(bytes)
    if (state === 'foreign') this.#abortPending(pending, Counter.handshakesNotTls)
    else if (state === 'partial') this.#buffer(pending, bytes)
    else this.#onHello(pending, bytes)
  }

  /** A connection whose hello waits is read on, so that no turn is spent on clients that have left. */
  #onMoreBytes(pending: PendingHandshake, bytes: Buffer): void {
    if (bytes.length > WAITING_BYTES_MAX) this.#abortPending(pending, Counter.handshakesBroken)
    else this.#buffer(pending, bytes)
  }

  /** Keeps a copy of `bytes`, which lie in the buffer of all connections. */
  #buffer(pending: PendingHandshake, bytes: Buffer): void {
    const all = this.#pendingHandshakes
    all.buffer(pending, Buffer.from(bytes))
    for (let excess = all.excess(pending); excess !== undefined; excess = all.excess(pending)) {
      this.#abortPending(excess, Counter.handshakesCrowdedOut)
    }
  }

  #onHello(pending: PendingHandshake, hello: Buffer): void {
    this.#turnLater()
    if (!this.#pendingHandshakes.isAnyWaiting && this.#budget.hasRoom && this.#mayBeginTls()) {
      return this.#budget.spend(() => this.#beginTls(pending, hello))
    }
    this.#pendingHandshakes.wait(pending)
    this.#buffer(pending, hello)
  }

  #turnLater(): void {
    if (this.#isTurnComing) return
    this.#isTurnComing = true
    setImmediate(this.#onTurn)
  }

  /** Begins some of the queued handshakes, before those whose hello arrives in this turn. */
  readonly #onTurn = (): void => {
    this.#isTurnComing = false
    this.#budget.beginTurn()
    let begun = 0
    for (const pending of this.#pendingHandshakes.waiting) {
      if (!this.#budget.hasRoom || !this.#mayBeginTls()) break
      begun++
      this.#budget.spend(() => this.#beginTls(pending, pending.hello ?? Buffer.alloc(0)))
    }
    if (begun === 0) return
    this.#budget.follow()
    this.#turnLater()
  }

  /** Returns whether one more TLS handshake may begin. At the limit, one that has taken too long is aborted for it. */
  #mayBeginTls(): boolean {
    if (this.#handshakes.size < this.#handshakesMax) return true
    const nowMs = this.#parts.now()
    for (const [connection, sinceMs] of this.#handshakes) {
      if (nowMs - sinceMs < this.#patience.patienceMs(nowMs)) return false
      this.#abortHandshake(connection, Counter.handshakesCrowdedOut)
      return true
    }
    return true
  }

  #beginTls(pending: PendingHandshake, hello: Buffer): void {
    const { tlsLayer } = this.#parts
    const { tcp } = pending
    const wishes = readHello(hello)
    const choice = this.#parts.tls?.choose(wishes, () => localAddress(tcp))
    if (choice === undefined || tlsLayer === undefined)
      return this.#abortPending(pending, Counter.handshakesUncertified)
    this.#pendingHandshakes.delete(pending)
    const tls = tlsLayer.begin(tcp, choice, wishes)
    const connection = new HandleConnection(tcp, tls, this.#connectionParts)
    this.#connections.add(connection)
    if (choice.isChallenge) this.#challenges.add(connection)
    this.#handshakes.set(connection, this.#parts.now())
    tlsLayer.receiveHello(tls, hello)
  }

  #abortHandshake(connection: HandleConnection, reason: number): void {
    this.#handshakes.delete(connection)
    this.#parts.counters.add(reason, 1)
    connection.destroy()
  }

  #onHandshakeDone(connection: HandleConnection, tls: TlsHandle): void {
    const { host, counters, now } = this.#parts
    const sinceMs = this.#handshakes.get(connection)
    if (sinceMs === undefined) return
    this.#handshakes.delete(connection)
    const nowMs = now()
    this.#patience.note(nowMs - sinceMs, nowMs)
    if (this.#pendingHandshakes.isAnyWaiting) this.#turnLater()
    connection.isTls13 = tls.getProtocol() === 'TLSv1.3'
    connection.isSecure = true
    counters.add(connection.isTls13 ? Counter.handshakesTls13 : Counter.handshakesTls12, 1)
    counters.add(connection.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, 1)
    // The authority has seen what it wanted to see (RFC 8737 §3).
    if (this.#challenges.has(connection)) return connection.close()
    host.onConnection(connection)
  }

  #onClosed(connection: HandleConnection): void {
    const { counters } = this.#parts
    this.#connections.delete(connection)
    this.#challenges.delete(connection)
    if (this.#parts.tls === undefined) return
    if (connection.isUseless) counters.add(Counter.tlsUseless, 1)
    if (connection.isSecure) {
      counters.add(connection.isTls13 ? Counter.tlsCurrent13 : Counter.tlsCurrent12, -1)
    } else if (this.#handshakes.delete(connection)) {
      counters.add(connection.isTlsBroken ? Counter.handshakesBroken : Counter.handshakesLeft, 1)
      if (this.#pendingHandshakes.isAnyWaiting) this.#turnLater()
    }
  }
}

/** The client's address; all zero if it has left already. */
function remoteIp(tcp: TcpHandle): Uint8Array {
  const name: SocketName = {}
  tcp.getpeername(name)
  return ipToBytes(unmapped(name.address ?? ''))
}

/** The address that the client has connected to. */
function localAddress(tcp: TcpHandle): string {
  const name: SocketName = {}
  tcp.getsockname(name)
  return name.address ?? ''
}
