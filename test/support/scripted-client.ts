// One connection of a dialogue: sends any bytes, and turns what it receives into lines of the transcript, up to the end
// of the connection and the kind of that end. It reads HTTP responses, DERP frames and WebSocket messages. It follows
// no protocol rules by itself; the project's client, which does, has tests of its own.

import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { readU16, readU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES, NONCE_BYTES, WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import type { Actor } from './actor.ts'
import { clientInfo, Opcode, tailscaleInfo, webSocketFrame } from './raw-frames.ts'
import { responseLines, closeFrameLine, frameLine, bytesText, sentLines } from './transcript.ts'

/** Where to connect to; TLS with these settings, or plain TCP. */
export interface Dial {
  readonly port: number
  readonly tls: ConnectionOptions | false
  readonly localAddress?: string
}

/** What all clients of a dialogue share: names of keys, the transcript, and the nonces that were seen. */
export interface Transcript {
  nameOf(key: Uint8Array): string
  /** Adds a line. */
  write(line: string): void
  /** Called when a client has received bytes. */
  onReceived(): void
  /** Returns whether the nonce was not seen before. */
  isFresh(nonce: Uint8Array): boolean
}

/** Longer JSON is shown by its length. */
const SHOWN_TEXT_MAX = 160

type Mode = 'http' | 'derp' | 'websocket'

export class ScriptedClient {
  readonly name: string
  readonly actor: Actor
  readonly #transcript: Transcript
  readonly #socket: Socket
  readonly #isOpen: Promise<void>
  #mode: Mode = 'http'
  /** Methods of requests without a response so far. */
  readonly #methods: string[] = []
  #bytes: Buffer = Buffer.alloc(0)
  #stream: Buffer = Buffer.alloc(0)
  #items: string[][] = []
  #isOver = false
  /**
   * Set when a request is refused before it was read completely. Then chance decides whether the end is a FIN or a
   * reset.
   */
  #isRefusedEarly = false

  constructor(name: string, actor: Actor, dial: Dial, transcript: Transcript) {
    this.name = name
    this.actor = actor
    this.#transcript = transcript
    const { port, tls, localAddress } = dial
    const where = { host: '127.0.0.1', port, localAddress }
    this.#socket =
      tls === false
        ? connectTcp(where)
        : connectTls({ ...where, servername: 'localhost', rejectUnauthorized: false, ...tls })
    this.#isOpen = new Promise((resolve) => {
      this.#socket.once(tls === false ? 'connect' : 'secureConnect', () => resolve())
      this.#socket.once('close', () => resolve())
    })
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.#socket.on('end', () => this.#onEnd('fin'))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#onEnd(endKind(error)))
  }

  /** Waits until the connection is open or has failed. */
  open(): Promise<void> {
    return this.#isOpen
  }

  get socket(): Socket {
    return this.#socket
  }

  /** Whether the connection has ended. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Items received since the last `take`: frames, responses, the end. */
  get itemCount(): number {
    return this.#items.length
  }

  /** Reads the following bytes as DERP frames, without an HTTP response before them. */
  expectFrames(): void {
    this.#mode = 'derp'
  }

  /** Sends an HTTP request, and further bytes in the same write. */
  request(text: string, ...more: Uint8Array[]): void {
    const lines = text.split('\r\n').filter((line) => line !== '')
    this.#transcript.write(`${this.name} > ${lines.join(' | ')}`)
    for (const [, method = ''] of text.matchAll(/^([A-Z]+) \S+ HTTP\//gm)) this.#methods.push(method)
    const bytes = Buffer.concat(more)
    this.#recordFrames(bytes)
    this.#socket.write(Buffer.concat([Buffer.from(text, 'latin1'), bytes]))
  }

  /** Sends ClientInfo with any text, and further frames in the same write. */
  logIn(text: string | Uint8Array = tailscaleInfo, ...more: Uint8Array[]): void {
    this.send(clientInfo(this.actor, text), ...more)
  }

  /** Sends bytes of the DERP stream in one write. */
  send(...parts: Uint8Array[]): void {
    const bytes = Buffer.concat(parts)
    this.#recordFrames(bytes)
    this.#writeStream(bytes)
  }

  /** Sends bytes directly to the socket, without WebSocket framing; `text` describes them in the transcript. */
  sendRaw(bytes: Uint8Array, text: string): void {
    this.#transcript.write(`${this.name} > ${text}`)
    this.#socket.write(bytes)
  }

  /** Sends bytes of the stream one by one, each in its own TLS record and, as far as possible, its own TCP segment. */
  async sendByteByByte(bytes: Uint8Array, text: string): Promise<void> {
    this.#transcript.write(`${this.name} > ${text}`)
    for (let at = 0; at < bytes.length; at++) {
      await new Promise((resolve) => this.#socket.write(bytes.subarray(at, at + 1), resolve))
    }
  }

  /** Closes this side and waits until the relay has closed its side. */
  async disconnect(): Promise<void> {
    this.#transcript.write(`${this.name} disconnects`)
    const closed = new Promise((resolve) => this.#socket.once('close', resolve))
    if (this.#socket.closed) return
    this.#isOver = true
    this.#socket.end()
    await closed
  }

  destroy(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  /** Returns the lines of the items received since the last call, one list per item. */
  take(): string[][] {
    const items = this.#items
    this.#items = []
    return items
  }

  /** A line for bytes that are no complete item yet. */
  unfinished(): string[] {
    const rest = Buffer.concat([this.#stream, this.#bytes])
    return rest.length === 0 || this.#isOver ? [] : [`${this.name} < unfinished ${bytesText(rest)}`]
  }

  #recordFrames(bytes: Uint8Array): void {
    const lines = sentLines(bytes, (type, payload) => this.#line(type, payload))
    for (let at = 0; at < lines.length;) {
      let count = 1
      while (lines[at + count] === lines[at]) count++
      this.#transcript.write(`${this.name} > ${lines[at]}${count === 1 ? '' : ` ×${count}`}`)
      at += count
    }
  }

  #writeStream(bytes: Buffer): void {
    if (this.#mode !== 'websocket') {
      this.#socket.write(bytes)
      return
    }
    for (let at = 0; at < bytes.length; at += WEB_SOCKET_MESSAGE_BYTES_MAX) {
      this.#socket.write(webSocketFrame(Opcode.binary, bytes.subarray(at, at + WEB_SOCKET_MESSAGE_BYTES_MAX)))
    }
  }

  #add(...lines: string[]): void {
    this.#items.push(lines)
    this.#transcript.onReceived()
  }

  #onData(chunk: Buffer): void {
    if (this.#isOver) return
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    while (this.#readItem());
    this.#transcript.onReceived()
  }

  #onEnd(kind: string): void {
    if (this.#isOver) return
    this.#readBodyUntilEnd()
    this.#isOver = true
    const rest = Buffer.concat([this.#stream, this.#bytes])
    this.#add(
      ...(rest.length === 0 ? [] : [`unfinished ${bytesText(rest)}`]),
      this.#isRefusedEarly ? 'closed' : `closed (${kind})`,
    )
  }

  #readItem(): boolean {
    if (this.#bytes.length === 0) return false
    if (this.#mode === 'websocket') return this.#readMessage()
    if (this.#mode === 'http') return this.#readResponse()
    const frameBytes = this.#readFrame(this.#bytes)
    this.#bytes = this.#bytes.subarray(frameBytes)
    return frameBytes > 0
  }

  #readResponse(): boolean {
    const headEnd = this.#bytes.indexOf('\r\n\r\n') + 4
    if (headEnd < 4) return false
    const head = this.#bytes.toString('latin1', 0, headEnd)
    const status = head.split(' ', 2)[1]
    if (status === '101') {
      this.#bytes = this.#bytes.subarray(headEnd)
      this.#switchMode(head)
      return true
    }
    const isBare = this.#methods[0] === 'HEAD' || status === '204'
    const length = isBare ? '0' : /^content-length: *(\d+)/im.exec(head)?.[1]
    if (length === undefined || this.#bytes.length < headEnd + Number(length)) return false
    this.#methods.shift()
    this.#isRefusedEarly = status === '431'
    this.#add(...responseLines(head, this.#bytes.subarray(headEnd, headEnd + Number(length))))
    this.#bytes = this.#bytes.subarray(headEnd + Number(length))
    return true
  }

  /** Reads a body without a length, which ends with the connection. */
  #readBodyUntilEnd(): void {
    const headEnd = this.#bytes.indexOf('\r\n\r\n') + 4
    if (this.#mode !== 'http' || headEnd < 4) return
    this.#add(...responseLines(this.#bytes.toString('latin1', 0, headEnd), this.#bytes.subarray(headEnd)))
    this.#bytes = Buffer.alloc(0)
  }

  #switchMode(head: string): void {
    this.#mode = /^upgrade: websocket/im.test(head) ? 'websocket' : 'derp'
    // The response of an upgrade to DERP is compared byte by byte.
    const lines = this.#mode === 'derp' ? head.trimEnd().split('\r\n') : responseLines(head, Buffer.alloc(0))
    this.#add(...lines)
  }

  #readMessage(): boolean {
    const [first = 0, second = 0] = this.#bytes
    const headerBytes = second < 126 ? 2 : second === 126 ? 4 : 10
    if (this.#bytes.length < headerBytes) return false
    const length =
      second < 126 ? second : headerBytes === 4 ? readU16(this.#bytes, 2) : readU32(this.#bytes, 6)
    const end = headerBytes + length
    if (this.#bytes.length < end) return false
    const payload = this.#bytes.subarray(headerBytes, end)
    this.#bytes = this.#bytes.subarray(end)
    this.#onMessage(first & 0x0f, payload)
    return true
  }

  #onMessage(opcode: number, payload: Buffer): void {
    if (opcode === Opcode.close) {
      this.#add(closeFrameLine(payload))
      this.#socket.write(webSocketFrame(Opcode.close, payload))
    } else if (opcode === Opcode.ping || opcode === Opcode.pong || opcode === Opcode.text) {
      const name = Object.entries(Opcode).find(([, value]) => value === opcode)?.[0]
      this.#add(`WebSocket ${name} ${bytesText(payload)}`)
    } else {
      this.#stream = Buffer.concat([this.#stream, payload])
      for (let length = -1; length !== 0;) {
        length = this.#readFrame(this.#stream)
        this.#stream = this.#stream.subarray(length)
      }
    }
  }

  /** Reads the first frame of `bytes`; returns its length, or 0 if it is incomplete. */
  #readFrame(bytes: Buffer): number {
    if (bytes.length < HEADER_BYTES) return 0
    const end = HEADER_BYTES + readU32(bytes, 1)
    if (bytes.length < end) return 0
    const type = bytes[0] ?? 0
    const payload = bytes.subarray(HEADER_BYTES, end)
    if (!this.#isOfOtherDialogue(type, payload)) this.#add(this.#line(type, payload))
    return end
  }

  #line(type: number, payload: Uint8Array): string {
    if (type === FrameType.clientInfo) return this.#sealedLine('ClientInfo', payload.subarray(KEY_BYTES))
    if (type === FrameType.serverInfo) return this.#sealedLine('ServerInfo', payload)
    return frameLine(type, payload, (key) => this.#transcript.nameOf(key))
  }

  /** The line of a frame with a sealed box. The shared key is the same for both sides. */
  #sealedLine(name: string, sealed: Uint8Array): string {
    const plain = this.actor.boxWithServer.open(sealed)
    if (plain === undefined) return `${name} of ${sealed.length} B that does not open`
    const text = Buffer.from(plain).toString('latin1')
    const isFresh = this.#transcript.isFresh(sealed.subarray(0, NONCE_BYTES))
    const what = text.length > SHOWN_TEXT_MAX ? `${text.length} B` : text
    return `${name} ${what}${isFresh ? '' : ' with a nonce used before'}`
  }

  /** Whether a frame is about a client of another dialogue, which may still be connected. */
  #isOfOtherDialogue(type: number, payload: Buffer): boolean {
    if (type !== FrameType.peerPresent && type !== FrameType.peerGone) return false
    const key = (type === FrameType.peerGone ? readPeerGone(payload) : readPeerPresent(payload))?.key
    return key !== undefined && key.length === KEY_BYTES && this.#transcript.nameOf(key) === ''
  }
}

function endKind({ code = '' }: NodeJS.ErrnoException): string {
  return code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : code
}
