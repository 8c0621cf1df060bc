// A link over a WebSocket on a connection of a client's. The relay's bytes leave as binary messages, cut to the size that
// browsers' clients accept; message borders mean nothing in either direction. What the connection keeps, this keeps: a
// pause stops reading it, and one burst at a time is written. Pings are answered, a few at once and a few a second: more
// end the connection.

import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import {
  CloseCode,
  closeFrame,
  Opcode,
  PINGS_MAX,
  type Pings,
  WebSocketReader,
  webSocketHeader,
} from '#protocol/web-socket.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { Link, LinkListener, RemoteAddress } from '#relay/ports.ts'
import { TokenBucket } from '#relay/token-bucket.ts'
import type { Connection } from './connection.ts'
import { GRACEFUL_CLOSE_TIMEOUT_MS } from './graceful-close.ts'

/** Browsers send none, proxies one in some seconds; each costs an answer. */
const PINGS = { burst: 100, perSecond: 10 }

const Flight = { none: 0, burst: 1, pongs: 2 } as const
type Flight = (typeof Flight)[keyof typeof Flight]

export class WebSocketLink implements Link, LinkListener {
  readonly isWebSocket = true
  readonly #caller: Connection
  readonly #now: () => number
  readonly #reader = new WebSocketReader(WEB_SOCKET_MESSAGE_BYTES_MAX)
  #listener: LinkListener | undefined = undefined
  /** The answer to the handshake, until it leaves with the first bytes. */
  #preface: Uint8Array | undefined
  /** What is being written. */
  #flight: Flight = Flight.none
  /** Pings whose answers can't be written yet. */
  #unanswered: Uint8Array[] = []
  /** The relay's burst, while pongs are under way. */
  #waiting: { readonly bytes: Uint8Array; readonly isLast: boolean }[] = []
  /** Set when either side has had enough: the code to close with. */
  #closeCode: number | undefined = undefined
  #endReason: EndReason | undefined = undefined
  #farewell: NodeJS.Timeout | undefined = undefined
  #pingAllowance: TokenBucket | undefined = undefined

  /** @param preface leaves before anything else */
  constructor(connection: Connection, preface: Uint8Array, now: () => number) {
    this.#caller = connection
    this.#preface = preface
    this.#now = now
    connection.attach(this)
  }

  get remote(): RemoteAddress {
    return this.#caller.remote
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  // ── reading ──

  receive(chunk: Buffer, start: number, end: number): void {
    if (this.#closeCode !== undefined) return
    const payloadEnd = this.#reader.feed(chunk, start, end)
    if (payloadEnd > start) this.#listener?.receive(chunk, start, payloadEnd)
    const pings = this.#reader.takePings()
    if (pings !== undefined) this.#onPings(pings)
    if (this.#reader.closeCode !== undefined) this.#finish(this.#reader.closeCode)
  }

  pause(): void {
    this.#caller.pause()
  }

  resume(): void {
    this.#caller.resume()
  }

  #onPings({ count, latest }: Pings): void {
    const nowMs = this.#now()
    this.#pingAllowance ??= new TokenBucket(PINGS.perSecond, PINGS.burst, nowMs)
    if (!this.#pingAllowance.tryTake(count, nowMs)) {
      this.#endReason = EndReason.pingFlood
      return this.#finish(CloseCode.policy)
    }
    this.#unanswered = [...this.#unanswered, ...latest].slice(-PINGS_MAX)
    if (this.#flight === Flight.none && this.#preface === undefined) this.#sendPongs()
  }

  // ── writing ──

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#closeCode !== undefined) return false
    if (this.#flight !== Flight.pongs) return this.#send(bytes, isLast)
    this.#waiting.push({ bytes, isLast })
    return false
  }

  /** Siblings come without. */
  becomeTrunk(): void {}

  #send(bytes: Uint8Array, isLast: boolean): boolean {
    this.#flight = Flight.burst
    this.#sendPreface()
    let isUsedUp = false
    for (let at = 0; at < bytes.length; at += WEB_SOCKET_MESSAGE_BYTES_MAX) {
      const end = Math.min(bytes.length, at + WEB_SOCKET_MESSAGE_BYTES_MAX)
      this.#caller.write(webSocketHeader(Opcode.binary, end - at), false)
      isUsedUp = this.#caller.write(bytes.subarray(at, end), isLast && end === bytes.length)
    }
    return isUsedUp
  }

  #sendPreface(): void {
    if (this.#preface !== undefined) this.#caller.write(this.#preface, false)
    this.#preface = undefined
  }

  #sendPongs(): void {
    const pongs = this.#unanswered.splice(0)
    this.#flight = Flight.pongs
    const frames = pongs.flatMap((payload) => [webSocketHeader(Opcode.pong, payload.length), payload])
    this.#caller.write(Buffer.concat(frames), true)
  }

  written(): void {
    const isBurst = this.#flight === Flight.burst
    this.#flight = Flight.none
    if (this.#waiting.length > 0) {
      for (const { bytes, isLast } of this.#waiting.splice(0)) this.#send(bytes, isLast)
    } else if (this.#closeCode !== undefined) {
      this.#sendClose(this.#closeCode)
    } else {
      if (this.#unanswered.length > 0) this.#sendPongs()
      if (isBurst) this.#listener?.written()
    }
  }

  // ── ending ──

  close(): void {
    this.#finish(CloseCode.normal)
  }

  destroy(): void {
    this.#closeCode ??= CloseCode.normal
    this.#caller.destroy()
  }

  /** Closes with this code as soon as what was written has left. */
  #finish(code: number): void {
    if (this.#closeCode !== undefined) return
    this.#closeCode = code
    if (this.#flight === Flight.none) return this.#sendClose(code)
    this.#farewell = setTimeout(() => this.#caller.destroy(), GRACEFUL_CLOSE_TIMEOUT_MS).unref()
  }

  #sendClose(code: number): void {
    this.#sendPreface()
    this.#caller.write(closeFrame(code), true)
    this.#caller.close()
  }

  closed(reason: EndReason): void {
    this.#closeCode ??= CloseCode.normal
    clearTimeout(this.#farewell)
    this.#listener?.closed(this.#endReason ?? reason)
  }
}
