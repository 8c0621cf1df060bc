// One hostile client: a connection that sends any bytes, with any kind of upgrade and at any stage. It reads or does
// not read, and records how it ended. It keeps only the last bytes that it has received, so that it can receive without end.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { webSocketRequest } from '#client/http-answer.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { WebSocketStream } from '#client/web-socket-stream.ts'
import type { ClientInfo } from '#protocol/handshake.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { loginFrame } from '../support/login-frame.ts'
import type { PortKind } from './target.ts'

/** How the connection becomes a stream of frames. Whether TLS is below depends on the target. */
export type UpgradeKind = 'raw' | 'fast start' | 'WebSocket'
export const UPGRADES: readonly UpgradeKind[] = ['raw', 'fast start', 'WebSocket']

/** What an intruder must know of the relay. */
export interface AttackedRelay {
  readonly portKind: PortKind
  readonly port: number
  readonly serverKey: Uint8Array
}

/** `fin`: the remote has closed; `reset`: any other end. */
export type End = 'fin' | 'reset'

const KEPT_BYTES = 65_536

export class Intruder {
  readonly socket: Socket
  received = Buffer.alloc(0)
  receivedBytes = 0
  end: End | undefined = undefined
  /** When the connection was established. */
  readonly sinceMs = performance.now()
  endedMs: number | undefined = undefined
  readonly #target: AttackedRelay
  readonly #wakes = new Set<() => void>()
  #framing: WebSocketStream | undefined = undefined

  readonly #tcp: Socket

  private constructor(socket: Socket, target: AttackedRelay, tcp: Socket = socket) {
    this.socket = socket
    this.#tcp = tcp
    this.#target = target
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length
      this.received = Buffer.concat([this.received, chunk]).subarray(-KEPT_BYTES)
      this.#wake()
    })
    socket.on('end', () => (this.end ??= 'fin'))
    socket.on('error', () => (this.end ??= 'reset'))
    socket.on('close', () => {
      this.end ??= 'reset'
      this.endedMs = performance.now()
      this.#wake()
    })
  }

  /** TCP only: nothing is sent, not even TLS's hello. */
  static async connectTcp(target: AttackedRelay, port = target.port): Promise<Intruder> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new Intruder(socket, target)
  }

  /** A connection that can carry HTTP: over TLS if the target's port has TLS. */
  static async connect(target: AttackedRelay): Promise<Intruder> {
    if (target.portKind === 'plain') return await Intruder.connectTcp(target)
    const tcp = connectTcp({ host: '127.0.0.1', port: target.port, noDelay: true })
    const socket = connectTls({ socket: streamOver(tcp), servername: 'localhost', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    return new Intruder(socket, target, tcp)
  }

  /** A stream of frames on which nothing was sent yet. */
  static async openDerp(target: AttackedRelay, kind: UpgradeKind = 'raw'): Promise<Intruder> {
    const intruder = await Intruder.connect(target)
    await intruder.upgrade(kind)
    return intruder
  }

  /** A client that has logged in, with a new key unless `key` is given. */
  static async logIn(
    target: AttackedRelay,
    kind: UpgradeKind = 'raw',
    { key = newKeyPair(), info = {} }: { key?: KeyPair; info?: Partial<ClientInfo> } = {},
  ): Promise<Intruder> {
    const intruder = await Intruder.openDerp(target, kind)
    const before = intruder.receivedBytes
    await intruder.send(intruder.login(key, info))
    await intruder.until(() => intruder.receivedBytes > before)
    if (intruder.end !== undefined) throw new Error(`the relay refused a login: ${intruder.end}`)
    return intruder
  }

  async upgrade(kind: UpgradeKind): Promise<void> {
    const host = 'localhost'
    if (kind === 'WebSocket') {
      const ignoreEvents = { onPayload() {}, onReply() {}, onClose() {}, onViolation() {} }
      await this.send(webSocketRequest(host, '/derp', randomBytes(16).toString('base64')))
      this.#framing = new WebSocketStream(ignoreEvents, Number.POSITIVE_INFINITY)
    } else {
      await this.send(upgradeRequest(host, { isFastStart: kind === 'fast start' }))
    }
    // The first frame is ServerKey with every kind of upgrade, and contains this text.
    await this.until(() => this.received.includes('DERP\u{1F511}'))
    if (this.end !== undefined) throw new Error(`the relay refused an upgrade: ${this.received.toString()}`)
  }

  /** The ClientInfo frame of a well-behaved client. */
  login(key?: KeyPair, info?: Partial<ClientInfo>): Uint8Array {
    return loginFrame(this.#target.serverKey, key, info)
  }

  /** Sends bytes, in a WebSocket as binary messages. Resolves when the system has taken them or the connection has ended. */
  async send(bytes: Uint8Array | string): Promise<void> {
    const raw = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    await this.sendRaw(this.#framing === undefined ? raw : this.#framing.encode(raw))
  }

  /** The same without the framing of a WebSocket. */
  async sendRaw(bytes: Uint8Array | string): Promise<void> {
    if (this.end !== undefined || this.socket.destroyed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wakes.add(resolve)
    this.socket.write(bytes, () => resolve())
    await promise
    this.#wakes.delete(resolve)
  }

  /** Sends `bytes` again and again for this time or until the end. Returns how many bytes the system has taken. */
  async flood(bytes: Uint8Array, forMs: number): Promise<number> {
    const untilMs = performance.now() + forMs
    const start = this.#takenBytes
    while (performance.now() < untilMs && this.end === undefined && !this.socket.destroyed) {
      const timeout = new Promise<void>((resolve) => setTimeout(resolve, untilMs - performance.now()))
      await Promise.race([this.send(bytes), timeout])
    }
    return this.#takenBytes - start
  }

  /** Bytes that the system has taken, TLS's own included. */
  get #takenBytes(): number {
    return this.#tcp.bytesWritten - this.#tcp.writableLength
  }

  /** Reads nothing from now on. */
  stopReading(): void {
    this.socket.pause()
  }

  startReading(): void {
    this.socket.resume()
  }

  /** Waits until a condition holds or the connection has ended. Returns false if neither happens in time. */
  async until(isDone: () => boolean, limitMs = 20_000): Promise<boolean> {
    const untilMs = performance.now() + limitMs
    while (!isDone() && this.endedMs === undefined) {
      if (performance.now() >= untilMs) return false
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, untilMs - performance.now())
      this.#wakes.add(resolve)
      await promise
      this.#wakes.delete(resolve)
      clearTimeout(timer)
    }
    return true
  }

  /** Waits until the relay ends the connection. Returns false if it does not do so in time. */
  async ended(limitMs: number): Promise<boolean> {
    this.startReading()
    return await this.until(() => this.endedMs !== undefined, limitMs)
  }

  reset(): void {
    if (this.#tcp.destroyed) return
    this.#tcp.resetAndDestroy()
    this.socket.destroy()
  }

  #wake(): void {
    for (const wake of this.#wakes) wake()
  }
}

/** A stream for TLS that is not the socket itself: Node crashes if the handle below its TLS is reset. */
function streamOver(tcp: Socket): Duplex {
  const stream = new Duplex({
    read: () => void tcp.resume(),
    write: (chunk: Uint8Array, _encoding, done) => void tcp.write(chunk, done),
    final: (done) => void tcp.end(done),
    destroy: (error, done) => {
      tcp.destroy()
      done(error)
    },
  })
  tcp.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) tcp.pause()
  })
  tcp.on('end', () => stream.push(null))
  tcp.on('error', (error) => stream.destroy(error))
  tcp.on('close', () => stream.destroy())
  return stream
}
