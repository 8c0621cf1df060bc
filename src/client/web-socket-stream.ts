// The client's side of WebSocket framing (RFC 6455 §5), as DERP uses it: a byte stream in binary messages whose
// boundaries mean nothing. Payload is passed on in pieces as it arrives, so a message is never assembled. No I/O and no
// handshake: bytes come in by `receive`, and bytes to send are returned or passed to the handler. Node's own WebSocket is
// not used because its TLS can't be configured.

import { randomFillSync } from 'node:crypto'
import { byteAt, readU16, writeU16 } from '#protocol/bytes.ts'
import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import {
  CloseCode,
  closeCodeFor,
  CONTROL_BYTES_MAX,
  FIN,
  LENGTH_16,
  MASK_BIT,
  MASK_BYTES,
  Opcode,
  WebSocketHeader,
  type HeaderFault,
} from '#protocol/web-socket-header.ts'

/** Random bytes are drawn for a thousand masks at once, which costs as little as for one. */
const MASK_RESERVE_BYTES = 4_096

/** The user of the stream. */
export interface WebSocketHandler {
  /** Bytes of the stream at [start, end), borrowed for the call. */
  onPayload(buffer: Buffer, start: number, end: number): void
  /** Bytes to write to the server as they are. */
  onReply(bytes: Buffer): void
  /** The server has closed with this code; the last call. */
  onClose(code: number, text: string): void
  /** The server broke the protocol, and a close frame was passed to `onReply`; the last call. */
  onViolation(message: string): void
}

export class WebSocketStream {
  readonly #handler: WebSocketHandler
  readonly #messageBytesMax: number
  readonly #header: WebSocketHeader
  readonly #masks = Buffer.allocUnsafe(MASK_RESERVE_BYTES)
  #maskAt = MASK_RESERVE_BYTES
  #payloadLeft = 0
  readonly #control = Buffer.alloc(CONTROL_BYTES_MAX)
  #controlBytes = 0
  #isClosed = false

  /** @param messageBytesMax longest message accepted from the server, all its fragments together */
  constructor(handler: WebSocketHandler, messageBytesMax: number) {
    this.#handler = handler
    this.#messageBytesMax = messageBytesMax
    this.#header = new WebSocketHeader(false, messageBytesMax)
  }

  /** Takes chunk[start, end). After a close everything is ignored. */
  receive(chunk: Buffer, start: number, end: number): void {
    let at = start
    while (at < end && !this.#isClosed) {
      if (this.#payloadLeft > 0) {
        at = this.#takePayload(chunk, at, end)
        continue
      }
      at = this.#header.read(chunk, at, end)
      if (at < 0) return
      this.#beginFrame()
    }
  }

  /** The bytes as masked binary messages of at most 32 KiB each, in one buffer. */
  encode(bytes: Uint8Array): Buffer {
    if (bytes.length <= WEB_SOCKET_MESSAGE_BYTES_MAX) return this.#frame(Opcode.binary, bytes)
    const messages: Buffer[] = []
    for (let at = 0; at < bytes.length; at += WEB_SOCKET_MESSAGE_BYTES_MAX) {
      messages.push(this.#frame(Opcode.binary, bytes.subarray(at, at + WEB_SOCKET_MESSAGE_BYTES_MAX)))
    }
    return Buffer.concat(messages)
  }

  /** A close frame. */
  encodeClose(code: number): Buffer {
    const payload = new Uint8Array(2)
    writeU16(payload, 0, code)
    return this.#frame(Opcode.close, payload)
  }

  #beginFrame(): void {
    const { fault, isControl, payloadBytes } = this.#header
    this.#payloadLeft = payloadBytes
    this.#controlBytes = 0
    if (fault !== undefined) this.#fail(closeCodeFor(fault), this.#textOf(fault))
    else if (isControl && payloadBytes === 0) this.#endControl()
  }

  #textOf(fault: HeaderFault): string {
    if (fault === 'extension') return 'an extension that was not agreed on'
    if (fault === 'masking') return 'a masked frame from a server'
    if (fault === 'control') return 'a control frame that is fragmented or too long'
    if (fault === 'text') return 'a text message'
    if (fault === 'order') return `an unexpected frame of type ${this.#header.opcode}`
    return `a message of more than ${this.#messageBytesMax} bytes`
  }

  #takePayload(chunk: Buffer, start: number, end: number): number {
    const pieceEnd = Math.min(end, start + this.#payloadLeft)
    this.#payloadLeft -= pieceEnd - start
    if (!this.#header.isControl) {
      this.#handler.onPayload(chunk, start, pieceEnd)
      return pieceEnd
    }
    this.#controlBytes += chunk.copy(this.#control, this.#controlBytes, start, pieceEnd)
    if (this.#payloadLeft === 0) this.#endControl()
    return pieceEnd
  }

  #endControl(): void {
    const { opcode } = this.#header
    const payload = this.#control.subarray(0, this.#controlBytes)
    if (opcode === Opcode.ping) {
      this.#handler.onReply(this.#frame(Opcode.pong, payload))
    } else if (opcode === Opcode.close) {
      const code = payload.length >= 2 ? readU16(payload, 0) : CloseCode.noStatus
      this.#isClosed = true
      // The same code is sent back (RFC 6455 §5.5.1); without one, an empty close.
      this.#handler.onReply(this.#frame(Opcode.close, payload.subarray(0, 2)))
      this.#handler.onClose(code, payload.toString('utf8', 2))
    } else if (opcode !== Opcode.pong) {
      this.#fail(CloseCode.protocolError, `a frame of unknown type ${opcode}`)
    }
  }

  #fail(code: number, violation: string): void {
    this.#isClosed = true
    this.#handler.onReply(this.encodeClose(code))
    this.#handler.onViolation(`the server sent ${violation}`)
  }

  /** One masked, final frame of less than 64 KiB. */
  #frame(opcode: number, payload: Uint8Array): Buffer {
    const maskAt = payload.length < LENGTH_16 ? 2 : 4
    const frame = Buffer.allocUnsafe(maskAt + MASK_BYTES + payload.length)
    frame[0] = FIN | opcode
    frame[1] = MASK_BIT | (maskAt === 2 ? payload.length : LENGTH_16)
    if (maskAt === 4) writeU16(frame, 2, payload.length)
    this.#mask(frame, maskAt, payload)
    return frame
  }

  #mask(frame: Buffer, maskAt: number, payload: Uint8Array): void {
    if (this.#maskAt === MASK_RESERVE_BYTES) {
      randomFillSync(this.#masks)
      this.#maskAt = 0
    }
    this.#masks.copy(frame, maskAt, this.#maskAt, this.#maskAt + MASK_BYTES)
    this.#maskAt += MASK_BYTES
    const start = maskAt + MASK_BYTES
    frame.set(payload, start)
    let at = start
    if ((frame.byteOffset + maskAt) % MASK_BYTES === 0) {
      // Word by word where the alignment allows, which halves the time for a full-size packet.
      const words = new Int32Array(frame.buffer, frame.byteOffset + maskAt, 1 + (payload.length >>> 2))
      const mask = words[0] ?? 0
      for (let i = 1; i < words.length; i++) words[i] = (words[i] ?? 0) ^ mask
      at += payload.length & ~3
    }
    for (; at < frame.length; at++) {
      frame[at] = byteAt(frame, at) ^ byteAt(frame, maskAt + ((at - start) & 3))
    }
  }
}
