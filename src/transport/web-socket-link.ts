// A link over a WebSocket on a client's connection (RFC 6455). The relay's bytes leave as binary messages, cut to the size that
// clients in browsers accept; message borders mean nothing in either direction. Runs on a relay thread.
//
// Contract: as of the connection below. A pause stops reading it, and one burst at a time is written. Pings are answered within a
// limit; a client that exceeds the limit is closed.

import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { closeFrame, PINGS_MAX, type Pings, WebSocketReader, webSocketHeader } from '#protocol/web-socket.ts'
import { CloseCode, Opcode } from '#protocol/web-socket-header.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { Link, LinkListener, ReadShare, RemoteAddress } from '#relay/ports.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import type { Connection } from './connection.ts'
import { GracefulClose } from './graceful-close.ts'

/** Browsers send no pings, proxies one every few seconds; each costs an answer. */
const PING_LIMIT = { burst: 100, perSecond: 10 }

/** The kind of bytes that were written to the connection and not yet taken by the system. */
const InFlight = { nothing: 0, burst: 1, pongs: 2, goingAway: 3 } as const
type InFlight = (typeof InFlight)[keyof typeof InFlight]

export class WebSocketLink implements Link, LinkListener {
  readonly isWebSocket = true
  readonly #connection: Connection
  readonly #now: () => number
  readonly #reader = new WebSocketReader(WEB_SOCKET_MESSAGE_BYTES_MAX)
  #listener: LinkListener | undefined = undefined
  /** The answer to the handshake; it leaves together with the first bytes. */
  #preface: Uint8Array | undefined
  #inFlight: InFlight = InFlight.nothing
  /** Payloads of pings whose answers cannot be written yet. */
  #unanswered: Uint8Array[] = []
  /** The relay's burst, while pongs are in flight. */
  #waiting: { readonly bytes: Uint8Array; readonly isLast: boolean }[] = []
  /** The code to close with; set when either side ends the WebSocket. */
  #closeCode: number | undefined = undefined
  /** This side goes away, and receives until the remote closes. */
  #isFinishing = false
  /** The remote has been told so, and nothing may be written after that. */
  #hasSaidGoingAway = false
  #endReason: EndReason | undefined = undefined
  /** The last burst is not taken yet, after which it closes. */
  #closing: GracefulClose | undefined = undefined
  #pingLimit: TokenBucket | undefined = undefined

  /** @param preface written before anything else */
  constructor(connection: Connection, preface: Uint8Array, now: () => number) {
    this.#connection = connection
    this.#preface = preface
    this.#now = now
    connection.attach(this)
  }

  get remote(): RemoteAddress {
    return this.#connection.remote
  }

  attach(listener: LinkListener): void {
    this.#listener = listener
  }

  // ── reading ──

  receive(chunk: Buffer, start: number, end: number): void {
    if (this.#closeCode !== undefined) return this.#closing?.drop(end - start)
    const payloadEnd = this.#reader.feed(chunk, start, end)
    if (payloadEnd > start) this.#listener?.receive(chunk, start, payloadEnd)
    const pings = this.#reader.takePings()
    if (pings !== undefined) this.#onPings(pings)
    if (this.#reader.closeCode !== undefined) this.#finish(this.#reader.closeCode)
  }

  pause(): void {
    this.#connection.pause()
  }

  resume(): void {
    this.#connection.resume()
  }

  #onPings({ count, latest }: Pings): void {
    if (this.#isFinishing) return
    const nowMs = this.#now()
    this.#pingLimit ??= new TokenBucket(PING_LIMIT.perSecond, PING_LIMIT.burst, nowMs)
    if (!this.#pingLimit.tryTake(count, nowMs)) {
      this.#endReason = EndReason.pingFlood
      return this.#finish(CloseCode.policy)
    }
    this.#unanswered = [...this.#unanswered, ...latest].slice(-PINGS_MAX)
    if (this.#inFlight === InFlight.nothing && this.#preface === undefined) this.#sendPongs()
  }

  // ── writing ──

  write(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#closeCode !== undefined) return false
    if (this.#inFlight !== InFlight.pongs) return this.#send(bytes, isLast)
    this.#waiting.push({ bytes, isLast })
    return false
  }

  /** Siblings do not use WebSockets. */
  becomeTrunk(): void {}

  readAs(share: ReadShare | undefined): void {
    this.#connection.readAs(share)
  }

  readInTurn(isInTurn: boolean): void {
    this.#connection.readInTurn(isInTurn)
  }

  get roundTripSeconds(): number {
    return this.#connection.roundTripSeconds
  }

  #send(bytes: Uint8Array, isLast: boolean): boolean {
    this.#inFlight = InFlight.burst
    this.#sendPreface()
    let isUsedUp = false
    for (let at = 0; at < bytes.length; at += WEB_SOCKET_MESSAGE_BYTES_MAX) {
      const end = Math.min(bytes.length, at + WEB_SOCKET_MESSAGE_BYTES_MAX)
      this.#connection.write(webSocketHeader(Opcode.binary, end - at), false)
      isUsedUp = this.#connection.write(bytes.subarray(at, end), isLast && end === bytes.length)
    }
    return isUsedUp
  }

  #sendPreface(): void {
    if (this.#preface !== undefined) this.#connection.write(this.#preface, false)
    this.#preface = undefined
  }

  #sendPongs(): void {
    const pongs = this.#unanswered.splice(0)
    this.#inFlight = InFlight.pongs
    const frames = pongs.flatMap((payload) => [webSocketHeader(Opcode.pong, payload.length), payload])
    this.#connection.write(Buffer.concat(frames), true)
  }

  written(): void {
    const wasBurst = this.#inFlight === InFlight.burst
    this.#inFlight = InFlight.nothing
    if (this.#waiting.length > 0) {
      for (const { bytes, isLast } of this.#waiting.splice(0)) this.#send(bytes, isLast)
    } else if (this.#closeCode !== undefined) {
      this.#sendClose(this.#closeCode)
    } else if (this.#isFinishing) {
      this.#sayGoingAway()
    } else {
      if (this.#unanswered.length > 0) this.#sendPongs()
      if (wasBurst) this.#listener?.written()
    }
  }

  // ── ending ──

  get receivedBytes(): number {
    return this.#connection.receivedBytes
  }

  get sentBytes(): number {
    return this.#connection.sentBytes
  }

  /** The relay does so when no burst is in flight; pongs that are end the WebSocket a moment later. */
  finish(): void {
    if (this.#closeCode !== undefined || this.#isFinishing) return
    this.#isFinishing = true
    if (this.#inFlight === InFlight.nothing) this.#sayGoingAway()
  }

  #sayGoingAway(): void {
    if (this.#hasSaidGoingAway) return
    this.#hasSaidGoingAway = true
    this.#inFlight = InFlight.goingAway
    this.#sendPreface()
    this.#connection.write(closeFrame(CloseCode.goingAway), true)
  }

  close(): void {
    this.#finish(CloseCode.normal)
  }

  destroy(): void {
    this.#closeCode ??= CloseCode.normal
    this.#connection.destroy()
  }

  /** Closes with this code when the system has taken all written bytes. */
  #finish(code: number): void {
    if (this.#closeCode !== undefined) return
    this.#closeCode = code
    if (this.#inFlight === InFlight.nothing) return this.#sendClose(code)
    this.#closing = new GracefulClose(() => this.#connection.destroy())
  }

  #sendClose(code: number): void {
    this.#sendPreface()
    // Each side closes once (RFC 6455 §5.5.1).
    if (!this.#hasSaidGoingAway) this.#connection.write(closeFrame(code), true)
    this.#connection.close()
  }

  closed(reason: EndReason): void {
    this.#closeCode ??= CloseCode.normal
    this.#closing?.end()
    this.#listener?.closed(this.#endReason ?? reason)
  }
}
