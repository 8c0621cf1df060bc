// One connection of a scripted dialogue: sends whatever bytes it is told to, and turns what comes back into lines,
// whether that is HTTP, DERP frames or WebSocket messages, up to the end of the connection and how it ended. Keeps no
// rule of the protocol itself; the project's client, which keeps them, is tested elsewhere.

import { randomBytes } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { readU16, readU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES, NONCE_BYTES, WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import type { Actor } from './actor.ts'
import { answerLines, closeFrameLine, frameLine, bytesText, sentLines } from './transcript.ts'

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Where a connection leads; TLS with these settings, or none. */
export interface Dial {
  readonly port: number
  readonly tls: ConnectionOptions | false
  readonly localAddress?: string
}

/** What a player has in common with the others of its scene. */
export interface Script {
  nameOf(key: Uint8Array): string
  /** A line of the transcript. */
  write(line: string): void
  /** Something was received. */
  stir(): void
  /** Whether a nonce is seen for the first time. */
  isFresh(nonce: Uint8Array): boolean
}

/** Longer JSON appears by its length. */
const SHOWN_TEXT_MAX = 160

/** What tailscaled says of itself. */
const plainInfo = '{"version":2,"CanAckPings":true}'

type Mode = 'http' | 'derp' | 'websocket'

/** ClientInfo around any text. */
export function clientInfo(
  actor: Actor,
  text: string | Uint8Array = plainInfo,
  nonce: Uint8Array = randomBytes(NONCE_BYTES),
): Buffer {
  return frameOf(FrameType.clientInfo, actor.key, actor.boxWithServer.seal(nonce, Buffer.from(text)))
}

/** A frame of any type. */
export function frameOf(type: number, ...payload: Uint8Array[]): Buffer {
  const body = Buffer.concat(payload)
  return Buffer.concat([headerOf(type, body.length), body])
}

/** A frame's header alone. */
export function headerOf(type: number, payloadBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header[0] = type
  header.writeUInt32BE(payloadBytes, 1)
  return header
}

/** A client's WebSocket frame: masked and final unless said otherwise. */
export function webSocketFrame(
  opcode: Opcode,
  payload: Uint8Array,
  options: { readonly firstByte?: number; readonly isUnmasked?: boolean } = {},
): Buffer {
  const header = Buffer.alloc(payload.length < 126 ? 2 : 4)
  header[0] = options.firstByte ?? 0x80 | opcode
  header[1] = (options.isUnmasked === true ? 0 : 0x80) | Math.min(payload.length, 126)
  if (payload.length >= 126) header.writeUInt16BE(payload.length, 2)
  if (options.isUnmasked === true) return Buffer.concat([header, payload])
  const mask = randomBytes(4)
  return Buffer.concat([header, mask, payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))])
}

export class Player {
  readonly name: string
  readonly actor: Actor
  readonly #script: Script
  readonly #socket: Socket
  readonly #isOpen: Promise<void>
  #mode: Mode = 'http'
  /** Methods of requests that are not answered yet. */
  readonly #methods: string[] = []
  #bytes: Buffer = Buffer.alloc(0)
  #stream: Buffer = Buffer.alloc(0)
  #items: string[][] = []
  #isOver = false
  /** Whoever refuses what is still coming leaves bytes unread; whether the end is a FIN or a reset is chance. */
  #isTooLong = false

  constructor(name: string, actor: Actor, dial: Dial, script: Script) {
    this.name = name
    this.actor = actor
    this.#script = script
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

  /** Done when bytes can be sent, or never will be. */
  open(): Promise<void> {
    return this.#isOpen
  }

  get socket(): Socket {
    return this.#socket
  }

  /** The connection has ended. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Things received and not taken yet: a frame, an answer, an end. */
  get itemCount(): number {
    return this.#items.length
  }

  /** What follows is DERP: an answer is not expected. */
  expectFrames(): void {
    this.#mode = 'derp'
  }

  /** Sends an HTTP request, with more behind it in the same write. */
  request(text: string, ...more: Uint8Array[]): void {
    const lines = text.split('\r\n').filter((line) => line !== '')
    this.#script.write(`${this.name} > ${lines.join(' | ')}`)
    for (const [, method = ''] of text.matchAll(/^([A-Z]+) \S+ HTTP\//gm)) this.#methods.push(method)
    const bytes = Buffer.concat(more)
    this.#recordFrames(bytes)
    this.#socket.write(Buffer.concat([Buffer.from(text, 'latin1'), bytes]))
  }

  /** Logs in, saying any text; with more behind it in the same write. */
  logIn(text: string | Uint8Array = plainInfo, ...more: Uint8Array[]): void {
    this.send(clientInfo(this.actor, text), ...more)
  }

  /** Sends bytes of the DERP stream, all in one write. */
  send(...parts: Uint8Array[]): void {
    const bytes = Buffer.concat(parts)
    this.#recordFrames(bytes)
    this.#writeStream(bytes)
  }

  /** Sends bytes as they are, below WebSocket and everything else; `text` is what the transcript says of them. */
  sendRaw(bytes: Uint8Array, text: string): void {
    this.#script.write(`${this.name} > ${text}`)
    this.#socket.write(bytes)
  }

  /** Sends bytes of the stream one by one, each in a TLS record and, as far as it can be told, a packet of its own. */
  async trickle(bytes: Uint8Array, text: string): Promise<void> {
    this.#script.write(`${this.name} > ${text}`)
    for (let at = 0; at < bytes.length; at++) {
      await new Promise((resolve) => this.#socket.write(bytes.subarray(at, at + 1), resolve))
    }
  }

  /** Closes this side and waits until the relay has closed the other. */
  async hangUp(): Promise<void> {
    this.#script.write(`${this.name} hangs up`)
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

  /** The lines of everything received since the last call, one list for each thing. */
  take(): string[][] {
    const items = this.#items
    this.#items = []
    return items
  }

  /** A line for bytes that are no whole thing yet. */
  unfinished(): string[] {
    const rest = Buffer.concat([this.#stream, this.#bytes])
    return rest.length === 0 || this.#isOver ? [] : [`${this.name} < unfinished ${bytesText(rest)}`]
  }

  #recordFrames(bytes: Uint8Array): void {
    const lines = sentLines(bytes, (type, payload) => this.#line(type, payload))
    for (let at = 0; at < lines.length;) {
      let count = 1
      while (lines[at + count] === lines[at]) count++
      this.#script.write(`${this.name} > ${lines[at]}${count === 1 ? '' : ` ×${count}`}`)
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
    this.#script.stir()
  }

  #onData(chunk: Buffer): void {
    if (this.#isOver) return
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    while (this.#takeOne());
    this.#script.stir()
  }

  #onEnd(kind: string): void {
    if (this.#isOver) return
    this.#takeUnlimitedBody()
    this.#isOver = true
    const rest = Buffer.concat([this.#stream, this.#bytes])
    this.#add(
      ...(rest.length === 0 ? [] : [`unfinished ${bytesText(rest)}`]),
      this.#isTooLong ? 'closed' : `closed (${kind})`,
    )
  }

  #takeOne(): boolean {
    if (this.#bytes.length === 0) return false
    if (this.#mode === 'websocket') return this.#takeMessage()
    if (this.#mode === 'http') return this.#takeAnswer()
    const frameBytes = this.#takeFrame(this.#bytes)
    this.#bytes = this.#bytes.subarray(frameBytes)
    return frameBytes > 0
  }

  #takeAnswer(): boolean {
    const headEnd = this.#bytes.indexOf('\r\n\r\n') + 4
    if (headEnd < 4) return false
    const head = this.#bytes.toString('latin1', 0, headEnd)
    const status = head.split(' ', 2)[1]
    if (status === '101') {
      this.#bytes = this.#bytes.subarray(headEnd)
      this.#switch(head)
      return true
    }
    const isBare = this.#methods[0] === 'HEAD' || status === '204'
    const length = isBare ? '0' : /^content-length: *(\d+)/im.exec(head)?.[1]
    if (length === undefined || this.#bytes.length < headEnd + Number(length)) return false
    this.#methods.shift()
    this.#isTooLong = status === '431'
    this.#add(...answerLines(head, this.#bytes.subarray(headEnd, headEnd + Number(length))))
    this.#bytes = this.#bytes.subarray(headEnd + Number(length))
    return true
  }

  /** A body without a length, which ends with the connection. */
  #takeUnlimitedBody(): void {
    const headEnd = this.#bytes.indexOf('\r\n\r\n') + 4
    if (this.#mode !== 'http' || headEnd < 4) return
    this.#add(...answerLines(this.#bytes.toString('latin1', 0, headEnd), this.#bytes.subarray(headEnd)))
    this.#bytes = Buffer.alloc(0)
  }

  #switch(head: string): void {
    this.#mode = /^upgrade: websocket/im.test(head) ? 'websocket' : 'derp'
    // DERP's answer is compared as it is, byte for byte.
    const lines = this.#mode === 'derp' ? head.trimEnd().split('\r\n') : answerLines(head, Buffer.alloc(0))
    this.#add(...lines)
  }

  #takeMessage(): boolean {
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
      for (let taken = -1; taken !== 0;) {
        taken = this.#takeFrame(this.#stream)
        this.#stream = this.#stream.subarray(taken)
      }
    }
  }

  /** Takes the frame that `bytes` begins with; returns its length, 0 while it is not whole. */
  #takeFrame(bytes: Buffer): number {
    if (bytes.length < HEADER_BYTES) return 0
    const end = HEADER_BYTES + readU32(bytes, 1)
    if (bytes.length < end) return 0
    const type = bytes[0] ?? 0
    const payload = bytes.subarray(HEADER_BYTES, end)
    if (!this.#isOfStranger(type, payload)) this.#add(this.#line(type, payload))
    return end
  }

  #line(type: number, payload: Uint8Array): string {
    if (type === FrameType.clientInfo) return this.#sealedLine('ClientInfo', payload.subarray(KEY_BYTES))
    if (type === FrameType.serverInfo) return this.#sealedLine('ServerInfo', payload)
    return frameLine(type, payload, (key) => this.#script.nameOf(key))
  }

  /** The box is the same from either side. */
  #sealedLine(name: string, sealed: Uint8Array): string {
    const plain = this.actor.boxWithServer.open(sealed)
    if (plain === undefined) return `${name} of ${sealed.length} B that does not open`
    const text = Buffer.from(plain).toString('latin1')
    const isFresh = this.#script.isFresh(sealed.subarray(0, NONCE_BYTES))
    const what = text.length > SHOWN_TEXT_MAX ? `${text.length} B` : text
    return `${name} ${what}${isFresh ? '' : ' with a nonce used before'}`
  }

  /** Presence of clients of another scene, who may not all have left. */
  #isOfStranger(type: number, payload: Buffer): boolean {
    if (type !== FrameType.peerPresent && type !== FrameType.peerGone) return false
    const key = (type === FrameType.peerGone ? readPeerGone(payload) : readPeerPresent(payload))?.key
    return key !== undefined && key.length === KEY_BYTES && this.#script.nameOf(key) === ''
  }
}

function endKind({ code = '' }: NodeJS.ErrnoException): string {
  return code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : code
}
