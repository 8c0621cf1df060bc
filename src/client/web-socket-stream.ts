// The client's side of WebSocket framing (RFC 6455 §5), as DERP uses it: a byte stream in binary messages whose
// boundaries mean nothing. Payload is passed on as it arrives, in pieces, so a message is never assembled.
// No I/O and no handshake: bytes come in through `receive`, and what is to be sent is returned or handed over.
// Node's own WebSocket is no alternative: its TLS can't be configured.

import { randomFillSync } from 'node:crypto'
import { byteAt, readU16, readU32, writeU16 } from '#protocol/bytes.ts'
import { WEB_SOCKET_MESSAGE_BYTES_MAX } from '#protocol/limits.ts'
import { CloseCode, Opcode } from '#protocol/web-socket.ts'

const FIN = 0x80
const RESERVED_BITS = 0x70
const CONTROL_BIT = 0x08
const MASK_BIT = 0x80
const MASK_BYTES = 4
const LENGTH_16 = 126
const LENGTH_64 = 127
/** Control frames: ping, pong, close. */
const CONTROL_BYTES_MAX = 125
/** Two bytes, eight of length; servers send no mask. */
const HEADER_BYTES_MAX = 10
/** Masks need not be drawn one at a time: a thousand at once cost as little as one. */
const MASK_RESERVE_BYTES = 4_096

/** Who uses the stream. */
export interface WebSocketHandler {
  /** Bytes of the stream at [start, end), borrowed for the call. */
  onPayload(buffer: Buffer, start: number, end: number): void
  /** Bytes to be written to the server as they are. */
  onReply(bytes: Buffer): void
  /** The server closed with this code; nothing follows. */
  onClose(code: number, text: string): void
  /** The server broke the protocol, and the close that tells it so was handed over; nothing follows. */
  onViolation(what: string): void
}

export class WebSocketStream {
  readonly #handler: WebSocketHandler
  readonly #messageBytesMax: number
  readonly #masks = Buffer.allocUnsafe(MASK_RESERVE_BYTES)
  #maskAt = MASK_RESERVE_BYTES
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX)
  #headerBytes = 0
  #opcode = 0
  #isFinal = false
  #isMessageOpen = false
  #messageBytes = 0
  #payloadLeft = 0
  readonly #control = Buffer.alloc(CONTROL_BYTES_MAX)
  #controlBytes = 0
  #isClosed = false

  /** @param messageBytesMax longest message taken from the server, all its fragments together */
  constructor(handler: WebSocketHandler, messageBytesMax: number) {
    this.#handler = handler
    this.#messageBytesMax = messageBytesMax
  }

  /** Takes chunk[start, end). After a close nothing more is taken. */
  receive(chunk: Buffer, start: number, end: number): void {
    let at = start
    while (at < end && !this.#isClosed) {
      at = this.#payloadLeft > 0 ? this.#takePayload(chunk, at, end) : this.#takeHeader(chunk, at, end)
    }
  }

  /** The bytes as masked binary messages of at most 32 KiB each, one behind the other in one buffer. */
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

  #takeHeader(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end) {
      this.#header[this.#headerBytes++] = byteAt(chunk, at++)
      if (this.#headerBytes >= 2 && this.#headerBytes === this.#headerLength()) {
        this.#beginFrame()
        return at
      }
    }
    return at
  }

  #headerLength(): number {
    const length = byteAt(this.#header, 1) & ~MASK_BIT
    if (length === LENGTH_64) return 10
    return length === LENGTH_16 ? 4 : 2
  }

  #beginFrame(): void {
    const first = byteAt(this.#header, 0)
    const second = byteAt(this.#header, 1)
    this.#headerBytes = 0
    this.#opcode = first & 0x0f
    this.#isFinal = (first & FIN) !== 0
    this.#payloadLeft = this.#payloadLength(second & ~MASK_BIT)
    this.#controlBytes = 0
    if ((first & RESERVED_BITS) !== 0)
      this.#fail(CloseCode.protocolError, 'an extension that was not agreed on')
    else if ((second & MASK_BIT) !== 0) this.#fail(CloseCode.protocolError, 'a masked frame from a server')
    else if ((this.#opcode & CONTROL_BIT) !== 0) this.#beginControl()
    else this.#beginData()
  }

  #payloadLength(length: number): number {
    if (length === LENGTH_16) return readU16(this.#header, 2)
    if (length === LENGTH_64) return readU32(this.#header, 2) * 2 ** 32 + readU32(this.#header, 6)
    return length
  }

  #beginControl(): void {
    if (!this.#isFinal || this.#payloadLeft > CONTROL_BYTES_MAX) {
      this.#fail(CloseCode.protocolError, 'a control frame that is fragmented or too long')
    } else if (this.#payloadLeft === 0) {
      this.#endControl()
    }
  }

  #beginData(): void {
    const continues = this.#opcode === Opcode.continuation
    if (this.#opcode === Opcode.text) {
      this.#fail(CloseCode.unsupported, 'a text message')
    } else if ((!continues && this.#opcode !== Opcode.binary) || continues !== this.#isMessageOpen) {
      this.#fail(CloseCode.protocolError, `a frame of type ${this.#opcode} where it can't be`)
    } else {
      this.#messageBytes = (continues ? this.#messageBytes : 0) + this.#payloadLeft
      this.#isMessageOpen = !this.#isFinal
      if (this.#messageBytes > this.#messageBytesMax) {
        this.#fail(CloseCode.tooBig, `a message of more than ${this.#messageBytesMax} bytes`)
      }
    }
  }

  #takePayload(chunk: Buffer, start: number, end: number): number {
    const pieceEnd = Math.min(end, start + this.#payloadLeft)
    this.#payloadLeft -= pieceEnd - start
    if ((this.#opcode & CONTROL_BIT) === 0) {
      this.#handler.onPayload(chunk, start, pieceEnd)
      return pieceEnd
    }
    this.#controlBytes += chunk.copy(this.#control, this.#controlBytes, start, pieceEnd)
    if (this.#payloadLeft === 0) this.#endControl()
    return pieceEnd
  }

  #endControl(): void {
    const payload = this.#control.subarray(0, this.#controlBytes)
    if (this.#opcode === Opcode.ping) {
      this.#handler.onReply(this.#frame(Opcode.pong, payload))
    } else if (this.#opcode === Opcode.close) {
      const code = payload.length >= 2 ? readU16(payload, 0) : CloseCode.noStatus
      this.#isClosed = true
      // The same code goes back (RFC 6455 §5.5.1); without one, an empty close.
      this.#handler.onReply(this.#frame(Opcode.close, payload.subarray(0, 2)))
      this.#handler.onClose(code, payload.toString('utf8', 2))
    } else if (this.#opcode !== Opcode.pong) {
      this.#fail(CloseCode.protocolError, `a frame of unknown type ${this.#opcode}`)
    }
  }

  #fail(code: number, what: string): void {
    this.#isClosed = true
    this.#handler.onReply(this.encodeClose(code))
    this.#handler.onViolation(`the server sent ${what}`)
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
      // Word by word where words can be had, which takes half the time for a full-size packet.
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
