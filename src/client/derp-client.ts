// A DERP client: logs in with a node key over one connection, sends and receives packets, and emits the server's messages
// as events. One object is one connection and is not reused; reconnecting-derp-client.ts reconnects by itself,
// derp-connection.ts has no login. Best effort, like DERP: nothing is acknowledged or repeated.

import { writeU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import {
  closePeerFrame,
  forwardPacketFrame,
  notePreferredFrame,
  pingFrame,
  pongFrame,
  WATCH_CONNS_FRAME,
} from '#protocol/frames.ts'
import { readServerKey, type ServerInfo } from '#protocol/handshake.ts'
import { HEADER_BYTES, KEY_BYTES, PACKET_BYTES_MAX, PING_BYTES } from '#protocol/limits.ts'
import { copyPayload, emitNotice, emitPacket, emitPong, type ClientEvents } from './client-events.ts'
import { ClientLogin, type LoginOptions } from './client-login.ts'
import { DerpConnectError, type ConnectionEnd } from './connect-error.ts'
import { DerpConnection } from './derp-connection.ts'
import { Emitter, type EventListeners } from './emitter.ts'
import type { OpenedWay } from './opening.ts'
import { PendingPings } from './pending-pings.ts'
import { SendLimiter } from './send-limiter.ts'
import { CONNECT_TIMEOUT_MS, type TargetOptions } from './target.ts'

export { newKeyPair } from './key-pair.ts'
export { SharedResources } from './shared-resources.ts'

/** The server, and the login. */
export interface ClientOptions extends TargetOptions, LoginOptions {}

/** A packet and the key of the client that it is for. */
export interface OutgoingPacket {
  readonly destination: Uint8Array
  readonly packet: Uint8Array
}

/** What is sent with a packet. */
const FRAME_AND_KEY_BYTES = HEADER_BYTES + KEY_BYTES
/** After this time without a pong Tailscale's clients drop the connection. */
const PING_TIMEOUT_MS = 3_000

export class DerpClient implements AsyncDisposable {
  readonly #options: ClientOptions
  readonly #login: ClientLogin
  readonly #connection: DerpConnection
  readonly #events = new Emitter<ClientEvents>()
  readonly #pings = new PendingPings()
  readonly #admitted = Promise.withResolvers<ServerInfo>()
  #serverKey: Uint8Array | undefined
  #isAdmitted = false
  #limiter: SendLimiter | undefined
  #packetsLimited = 0

  /** Connects and logs in. Listeners given here get every event, including those that come with the admission. */
  static async connect(
    options: ClientOptions,
    listeners: EventListeners<ClientEvents> = {},
  ): Promise<DerpClient> {
    const client = new DerpClient(options, listeners)
    await client.connect()
    return client
  }

  /** Checks the options and does nothing else. @throws RangeError that names an invalid option */
  constructor(options: ClientOptions, listeners: EventListeners<ClientEvents> = {}) {
    this.#options = options
    this.#login = new ClientLogin(options)
    this.#events.onAll(listeners)
    this.#connection = new DerpConnection(options, {
      onFrame: (type, buffer, start, end) => this.#onFrame(type, buffer, start, end),
      onClosed: (end) => this.#onClosed(end),
      greet: (serverKey) => this.#greet(serverKey),
    })
    this.#admitted.promise.catch(() => undefined)
  }

  /**
   * Connects and logs in; to be called once. Resolves when the server has admitted this client.
   *
   * @throws DerpConnectError if it fails, is refused, exceeds the time limit, or is closed meanwhile
   */
  async connect(): Promise<ServerInfo> {
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options
    const limit = setTimeout(
      () => this.#failLogin(`not admitted within ${connectTimeoutMs} ms`),
      connectTimeoutMs,
    )
    try {
      await this.#connection.open()
      if (this.#connection.way === 'fast-start' && this.#serverKey === undefined) {
        this.#failLogin('no box can be made for the server key in the meta certificate')
      }
      return await this.#admitted.promise
    } catch (error) {
      this.#events.finish(error instanceof Error ? error : new Error(String(error)))
      throw error
    } finally {
      clearTimeout(limit)
    }
  }

  /** Calls `listener` for every such event from now on. Returns the function that removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (value: ClientEvents[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  /** The next such event, or the next that satisfies `isWanted`. Rejects if the client closes first. */
  next<Name extends keyof ClientEvents>(
    name: Name,
    isWanted?: (value: ClientEvents[Name]) => boolean,
  ): Promise<ClientEvents[Name]> {
    return this.#events.next(name, isWanted)
  }

  /** Whether the server has admitted this client and the connection is open. */
  get isConnected(): boolean {
    return this.#isAdmitted && this.#connection.isOpen
  }

  get publicKey(): Uint8Array {
    return this.#options.key.publicKey
  }

  /** The server's key; undefined before it is known. */
  get serverKey(): Uint8Array | undefined {
    return this.#serverKey
  }

  /** How the connection became a DERP stream. */
  get way(): OpenedWay | undefined {
    return this.#connection.way
  }

  /** Bytes that were sent and are still in this process: they wait for the system to take them. */
  get queuedBytes(): number {
    return this.#connection.waitingBytes
  }

  /** The connection itself, for tests that send invalid frames. */
  get connection(): DerpConnection {
    return this.#connection
  }

  /** Packets not sent because the server's limit (ServerInfo) was reached. */
  get packetsLimited(): number {
    return this.#packetsLimited
  }

  /**
   * Sends a packet (at most 65,536 bytes) to the holder of a key, in one write. Returns false, like a stream's write, if
   * enough is waiting and `drained` should be awaited, and also if the client is not connected.
   */
  send(destination: Uint8Array, packet: Uint8Array): boolean {
    checkKey('destination', destination)
    checkPacket(packet)
    if (!this.#isAdmitted) return false
    if (!this.#passesLimit(packet)) return true
    const frame = Buffer.allocUnsafe(FRAME_AND_KEY_BYTES + packet.length)
    putSendPacket(frame, 0, destination, packet)
    return this.#connection.write(frame)
  }

  /** Sends several packets in one write, which costs TLS much less than a write for each. Otherwise as `send`. */
  sendAll(packets: readonly OutgoingPacket[]): boolean {
    for (const { destination, packet } of packets) {
      checkKey('destination', destination)
      checkPacket(packet)
    }
    if (!this.#isAdmitted) return false
    const admitted = packets.filter(({ packet }) => this.#passesLimit(packet))
    if (admitted.length === 0) return true
    const bytes = admitted.reduce((sum, { packet }) => sum + FRAME_AND_KEY_BYTES + packet.length, 0)
    const frames = Buffer.allocUnsafe(bytes)
    let at = 0
    for (const { destination, packet } of admitted) at = putSendPacket(frames, at, destination, packet)
    return this.#connection.write(frames)
  }

  /** Resolves when more can be sent. Rejects if the client is not connected or the connection ends first. */
  drained(): Promise<void> {
    return this.#isAdmitted ? this.#connection.drained() : Promise.reject(new Error('not connected'))
  }

  /** The round trip to the server in ms. Rejects without a pong in time, and if the connection ends. */
  ping(timeoutMs: number = PING_TIMEOUT_MS): Promise<number> {
    if (!this.isConnected) return Promise.reject(new Error('not connected'))
    return this.#pings.send(timeoutMs, (bytes) => this.#connection.write(pingFrame(bytes)))
  }

  /** Notes whether this server is the client's home. */
  notePreferred(isHome: boolean): boolean {
    return this.#write(notePreferredFrame(isHome))
  }

  /** With the mesh key: subscribes to presence, of connected clients and of later changes. */
  watch(): boolean {
    return this.#write(WATCH_CONNS_FRAME)
  }

  /** With the mesh key: sends a packet in another client's name. Returns as `send`. */
  forwardPacket(source: Uint8Array, destination: Uint8Array, packet: Uint8Array): boolean {
    checkKey('source', source)
    checkKey('destination', destination)
    checkPacket(packet)
    return this.#write(forwardPacketFrame(source, destination, packet))
  }

  /** With the mesh key: closes all connections of a key. */
  closePeer(key: Uint8Array): boolean {
    checkKey('key', key)
    return this.#write(closePeerFrame(key))
  }

  /** Flushes and closes the connection, and resolves when it is closed; within a second. */
  close(): Promise<void> {
    return this.#connection.close()
  }

  /** Closes the connection at once, without waiting for anything; unflushed bytes are lost. `end` is what `closed` gets. */
  destroy(end?: ConnectionEnd): void {
    this.#connection.destroy(end)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Whether the server's limit lets a packet pass now; one that does not is counted. */
  #passesLimit(packet: Uint8Array): boolean {
    if (this.#limiter?.admits(packet.length, performance.now()) !== false) return true
    this.#packetsLimited++
    return false
  }

  /** Sends only between admission and end. */
  #write(frame: Uint8Array): boolean {
    return this.#isAdmitted && this.#connection.write(frame)
  }

  #greet(serverKey: Uint8Array): Uint8Array | undefined {
    const greeting = this.#login.greeting(serverKey)
    if (greeting !== undefined) this.#serverKey = serverKey
    return greeting
  }

  #onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (this.#serverKey === undefined) this.#onServerKey(type, copyPayload(buffer, start, end))
    else if (type === FrameType.recvPacket) emitPacket(this.#events, buffer, start, end)
    else if (type === FrameType.serverInfo) this.#onServerInfo(copyPayload(buffer, start, end))
    else if (type === FrameType.ping) this.#onPing(copyPayload(buffer, start, end))
    else if (type === FrameType.pong) this.#onPong(copyPayload(buffer, start, end))
    else emitNotice(this.#events, type, copyPayload(buffer, start, end))
  }

  /** The first frame, except on fast-start connections, which know the key already. */
  #onServerKey(type: number, payload: Uint8Array): void {
    const serverKey = type === FrameType.serverKey ? readServerKey(payload) : undefined
    if (serverKey === undefined)
      return this.#failLogin(`expected ServerKey first, got a frame of type ${type}`)
    const greeting = this.#greet(serverKey)
    if (greeting === undefined) return this.#failLogin('no box can be made for the key in ServerKey')
    this.#connection.write(greeting)
  }

  #onServerInfo(payload: Uint8Array): void {
    const info = this.#login.openServerInfo(payload)
    if (info === undefined) return this.#failLogin('the box of ServerInfo does not open or is not ServerInfo')
    const { tokenBucketBytesPerSecond, tokenBucketBytesBurst } = info
    this.#limiter =
      tokenBucketBytesPerSecond === 0
        ? undefined
        : new SendLimiter(tokenBucketBytesPerSecond, tokenBucketBytesBurst, performance.now())
    this.#isAdmitted = true
    this.#admitted.resolve(info)
    this.#events.emit('serverInfo', info)
  }

  #onPing(payload: Uint8Array): void {
    const { canAckPings = true } = this.#options
    if (canAckPings && payload.length >= PING_BYTES) this.#connection.write(pongFrame(payload))
  }

  #onPong(payload: Uint8Array): void {
    emitPong(this.#events, payload, this.#pings.settle(payload))
  }

  #failLogin(reason: string): void {
    this.#admitted.reject(new DerpConnectError('login', reason))
    this.#connection.breakOff(reason)
  }

  #onClosed(end: ConnectionEnd): void {
    const { kind, message, cause } = end
    const reason = new Error(`not connected (${kind}): ${message}`)
    this.#admitted.reject(new DerpConnectError('login', `not admitted: ${message}`, { cause }))
    this.#pings.rejectAll(reason)
    if (this.#isAdmitted) this.#events.emit('closed', end)
    this.#events.finish(reason)
  }
}

/** Writes a SendPacket frame at `at`; returns where the next one begins. */
function putSendPacket(into: Buffer, at: number, destination: Uint8Array, packet: Uint8Array): number {
  into[at] = FrameType.sendPacket
  writeU32(into, at + 1, KEY_BYTES + packet.length)
  into.set(destination, at + HEADER_BYTES)
  into.set(packet, at + FRAME_AND_KEY_BYTES)
  return at + FRAME_AND_KEY_BYTES + packet.length
}

function checkKey(name: string, key: Uint8Array): void {
  if (key.length !== KEY_BYTES)
    throw new RangeError(`${name}: expected ${KEY_BYTES} bytes, got ${key.length}`)
}

function checkPacket(packet: Uint8Array): void {
  if (packet.length > PACKET_BYTES_MAX) {
    throw new RangeError(`packet: expected at most ${PACKET_BYTES_MAX} bytes, got ${packet.length}`)
  }
}
