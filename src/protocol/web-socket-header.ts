// Reads the headers of WebSocket frames (RFC 6455 §5.2) for both sides, and checks the rules of headers: no extensions, the
// right masking, control frames whole and short, and the order of fragments. Reads no payload and sends nothing.

import { byteAt, readU16, readU32 } from './bytes.ts'

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Reasons to close (RFC 6455 §7.4.1) that occur here. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupported: 1003,
  noStatus: 1005,
  policy: 1008,
  tooBig: 1009,
} as const

export const FIN = 0x80
export const MASK_BIT = 0x80
export const MASK_BYTES = 4
/** This length announces one of two bytes, the next one of eight. */
export const LENGTH_16 = 126
const LENGTH_64 = 127
const RESERVED_BITS = 0x70
const CONTROL_BIT = 0x08
/** Payload of a control frame: ping, pong, close. */
export const CONTROL_BYTES_MAX = 125
/** Two bytes, eight of length, four of mask. */
const HEADER_BYTES_MAX = 14

/** The rule that a header breaks: `order` is a type that may not come now, `length` a message that is too long. */
export type HeaderFault = 'extension' | 'masking' | 'control' | 'text' | 'order' | 'length'

export function closeCodeFor(fault: HeaderFault): number {
  if (fault === 'text') return CloseCode.unsupported
  return fault === 'length' ? CloseCode.tooBig : CloseCode.protocolError
}

export class WebSocketHeader {
  readonly #maskBytes: number
  readonly #messageBytesMax: number
  /** Filled while a header comes in pieces. The mask stays for the payload. */
  readonly bytes = new Uint8Array(HEADER_BYTES_MAX)
  #count = 0
  #isMessageOpen = false
  #messageBytes = 0
  opcode = 0
  payloadBytes = 0
  /** Position of the mask in `bytes`. */
  maskAt = 0
  fault: HeaderFault | undefined = undefined

  /**
   * @param isMasked frames come from a client
   * @param messageBytesMax longest message, all its fragments together
   */
  constructor(isMasked: boolean, messageBytesMax: number) {
    this.#maskBytes = isMasked ? MASK_BYTES : 0
    this.#messageBytesMax = messageBytesMax
  }

  get isControl(): boolean {
    return (this.opcode & CONTROL_BIT) !== 0
  }

  /** Reads from chunk[start, end). Returns the end of the header; -1 if the header is not complete yet. */
  read(chunk: Uint8Array, start: number, end: number): number {
    const { bytes } = this
    let at = start
    while (at < end) {
      bytes[this.#count++] = byteAt(chunk, at++)
      if (this.#count < 2 || this.#count < this.#headerBytes()) continue
      this.maskAt = this.#count - this.#maskBytes
      this.#count = 0
      this.#parse()
      return at
    }
    return -1
  }

  #headerBytes(): number {
    const length = byteAt(this.bytes, 1) & ~MASK_BIT
    const lengthBytes = length === LENGTH_64 ? 8 : length === LENGTH_16 ? 2 : 0
    return 2 + lengthBytes + this.#maskBytes
  }

  #parse(): void {
    const first = byteAt(this.bytes, 0)
    const second = byteAt(this.bytes, 1)
    const isFinal = (first & FIN) !== 0
    this.opcode = first & 0x0f
    this.payloadBytes = this.#payloadLength(second & ~MASK_BIT)
    if ((first & RESERVED_BITS) !== 0) this.fault = 'extension'
    else if (((second & MASK_BIT) !== 0) !== this.#maskBytes > 0) this.fault = 'masking'
    else if (!this.isControl) this.#checkData(isFinal)
    else if (!isFinal || this.payloadBytes > CONTROL_BYTES_MAX) this.fault = 'control'
  }

  #payloadLength(length: number): number {
    if (length === LENGTH_16) return readU16(this.bytes, 2)
    if (length === LENGTH_64) return readU32(this.bytes, 2) * 2 ** 32 + readU32(this.bytes, 6)
    return length
  }

  #checkData(isFinal: boolean): void {
    const continues = this.opcode === Opcode.continuation
    if (this.opcode === Opcode.text) {
      this.fault = 'text'
    } else if ((!continues && this.opcode !== Opcode.binary) || continues !== this.#isMessageOpen) {
      this.fault = 'order'
    } else {
      this.#messageBytes = (continues ? this.#messageBytes : 0) + this.payloadBytes
      this.#isMessageOpen = !isFinal
      if (this.#messageBytes > this.#messageBytesMax) this.fault = 'length'
    }
  }
}
