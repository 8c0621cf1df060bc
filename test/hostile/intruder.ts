// One hostile client: a connection that says whatever it is told to, in any way in and up to any stage, reads or does not
// read, and remembers how it ended. Keeps only the last of what it receives, so that it may receive without end.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { webSocketRequest } from '#client/http-answer.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { WebSocketStream } from '#client/web-socket-stream.ts'
import { BoxSecret } from '#protocol/box.ts'
import { clientInfoFrame, type ClientInfo } from '#protocol/handshake.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import type { Target } from './target.ts'

/** How a stream of frames is come by, TLS or not being the relay's affair. */
export type Way = 'upgrade' | 'fast start' | 'WebSocket'
export const WAYS: readonly Way[] = ['upgrade', 'fast start', 'WebSocket']

/** `fin`: an orderly end; `reset`: anything else; undefined while it lasts. */
export type End = 'fin' | 'reset'

const KEPT_BYTES = 65_536

export class Intruder {
  readonly socket: Socket
  received = Buffer.alloc(0)
  receivedBytes = 0
  end: End | undefined = undefined
  /** Since the connection stands. */
  readonly sinceMs = performance.now()
  endedMs: number | undefined = undefined
  readonly #target: Target
  readonly #wakes = new Set<() => void>()
  #framing: WebSocketStream | undefined = undefined

  readonly #tcp: Socket

  private constructor(socket: Socket, target: Target, tcp: Socket = socket) {
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

  /** TCP alone: nothing is said, not even TLS's hello. */
  static async knock(target: Target, port = target.port): Promise<Intruder> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new Intruder(socket, target)
  }

  /** A connection that can carry HTTP: through TLS where the relay has it. */
  static async enter(target: Target): Promise<Intruder> {
    if (target.door === 'plain') return await Intruder.knock(target)
    const tcp = connectTcp({ host: '127.0.0.1', port: target.port, noDelay: true })
    const socket = connectTls({ socket: apartFrom(tcp), rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    return new Intruder(socket, target, tcp)
  }

  /** A stream of frames on which nothing was said. */
  static async open(target: Target, way: Way = 'upgrade'): Promise<Intruder> {
    const intruder = await Intruder.enter(target)
    await intruder.becomeDerp(way)
    return intruder
  }

  /** One that has logged in, with a key of its own unless told otherwise. */
  static async logIn(
    target: Target,
    way: Way = 'upgrade',
    { key = newKeyPair(), info = {} }: { key?: KeyPair; info?: Partial<ClientInfo> } = {},
  ): Promise<Intruder> {
    const intruder = await Intruder.open(target, way)
    const before = intruder.receivedBytes
    await intruder.say(intruder.login(key, info))
    await intruder.until(() => intruder.receivedBytes > before)
    if (intruder.end !== undefined) throw new Error(`the relay refused a login: ${intruder.end}`)
    return intruder
  }

  async becomeDerp(way: Way): Promise<void> {
    const host = 'localhost'
    if (way === 'WebSocket') {
      const nobody = { onPayload() {}, onReply() {}, onClose() {}, onViolation() {} }
      await this.say(webSocketRequest(host, '/derp', randomBytes(16).toString('base64')))
      this.#framing = new WebSocketStream(nobody, Number.POSITIVE_INFINITY)
    } else {
      await this.say(upgradeRequest(host, { isFastStart: way === 'fast start' }))
    }
    // ServerKey's own text is in whatever comes, in all ways.
    await this.until(() => this.received.includes('DERP\u{1F511}'))
    if (this.end !== undefined) throw new Error(`the relay refused an upgrade: ${this.received.toString()}`)
  }

  /** ClientInfo as an honest client has it. */
  login(key: KeyPair = newKeyPair(), info: Partial<ClientInfo> = {}): Uint8Array {
    const box = new BoxSecret(key.privateKey).agree(this.#target.serverKey)
    if (box === undefined) throw new Error('no box can be made for this key')
    return clientInfoFrame(key.publicKey, info, box, randomBytes(NONCE_BYTES))
  }

  /** Sends bytes, as binary messages in a WebSocket; done when the system has taken them, or the connection ended. */
  async say(bytes: Uint8Array | string): Promise<void> {
    const raw = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    await this.sayRaw(this.#framing === undefined ? raw : this.#framing.encode(raw))
  }

  /** The same without a WebSocket's framing. */
  async sayRaw(bytes: Uint8Array | string): Promise<void> {
    if (this.end !== undefined || this.socket.destroyed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wakes.add(resolve)
    this.socket.write(bytes, () => resolve())
    await promise
    this.#wakes.delete(resolve)
  }

  /** Says it again and again until so much time has passed, or the end; answers how many bytes were taken. */
  async flood(bytes: Uint8Array, forMs: number): Promise<number> {
    const untilMs = performance.now() + forMs
    const start = this.#takenBytes
    while (performance.now() < untilMs && this.end === undefined && !this.socket.destroyed) {
      const late = new Promise<void>((resolve) => setTimeout(resolve, untilMs - performance.now()))
      await Promise.race([this.say(bytes), late])
    }
    return this.#takenBytes - start
  }

  /** What the system has taken for the relay, TLS's own included. */
  get #takenBytes(): number {
    return this.#tcp.bytesWritten - this.#tcp.writableLength
  }

  /** Reads nothing from here on. */
  stopReading(): void {
    this.socket.pause()
  }

  startReading(): void {
    this.socket.resume()
  }

  /** Waits until a condition holds or the connection has ended; false after so long without either. */
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

  /** Waits for the end that the relay makes; false when it makes none in time. */
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

/** A stream for TLS to run on that is not the socket itself: Node crashes when the handle below its TLS is reset. */
function apartFrom(tcp: Socket): Duplex {
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
