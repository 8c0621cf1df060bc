// The server's side of WebSocket framing (RFC 6455 §5), as DERP uses it: a byte stream in binary messages whose borders
// mean nothing. A message is never assembled: payloads are unmasked where they lie and moved together, so that what is
// kept of a connection is the beginning of a header, one control frame and the latest pings, whatever is sent. No I/O.

import { byteAt, readU16, readU32, writeU16 } from './bytes.ts'

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Why a side closes (RFC 6455 §7.4.1); those that occur here. */
export const CloseCode = {
  normal: 1000,
  protocolError: 1002,
  unsupported: 1003,
  noStatus: 1005,
  policy: 1008,
  tooBig: 1009,
} as const

const FIN = 0x80
const RESERVED_BITS = 0x70
const CONTROL_BIT = 0x08
const MASK_BIT = 0x80
const MASK_BYTES = 4
const LENGTH_16 = 126
const LENGTH_64 = 127
/** Control frames: ping, pong, close. */
const CONTROL_BYTES_MAX = 125
/** Pings that wait for their answer; only the latest need be answered (§5.5.3), and nobody sends several. */
export const PINGS_MAX = 8
/** Two bytes, eight of length, four of mask. */
const HEADER_BYTES_MAX = 14

export interface Pings {
  readonly count: number
  /** What the latest of them said. */
  readonly latest: readonly Uint8Array[]
}

/** What a client may say as its reason (§7.4): the registered codes but those never sent, and those free for use. */
function mayBeSent(code: number): boolean {
  if (code >= 3_000) return code < 5_000
  return code >= 1_000 && code <= 1_014 && (code < 1_004 || code > 1_006)
}

export class WebSocketReader {
  readonly #messageBytesMax: number
  /** Filled while a header comes in pieces; its mask stays for the payload. */
  readonly #header = new Uint8Array(HEADER_BYTES_MAX)
  #headerBytes = 0
  #opcode = 0
  #isFinal = false
  #isMessageOpen = false
  #messageBytes = 0
  #payloadLeft = 0
  /** The mask's first byte, and which of its four is next. */
  #maskFrom = 0
  #maskAt = 0
  /** Made with the first control frame. */
  #control: Uint8Array | undefined = undefined
  #controlBytes = 0
  #pings: Uint8Array[] = []
  #pingCount = 0
  #closeCode: number | undefined = undefined

  /** @param messageBytesMax longest message taken, all its fragments together */
  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** With which code the stream is to be closed, by the client's wish or for its fault; nothing more is read. */
  get closeCode(): number | undefined {
    return this.#closeCode
  }

  /** The pings since the last call; undefined if there were none. */
  takePings(): Pings | undefined {
    if (this.#pingCount === 0) return undefined
    const pings = { count: this.#pingCount, latest: this.#pings }
    this.#pingCount = 0
    this.#pings = []
    return pings
  }

  /** Reads chunk[start, end), changing it: the stream's bytes lie at [start, returned) afterwards. */
  feed(chunk: Uint8Array, start: number, end: number): number {
    let at = start
    let out = start
    while (at < end && this.#closeCode === undefined) {
      if (this.#payloadLeft === 0) {
        at = this.#readHeader(chunk, at, end)
        continue
      }
      const pieceEnd = Math.min(end, at + this.#payloadLeft)
      this.#payloadLeft -= pieceEnd - at
      if ((this.#opcode & CONTROL_BIT) === 0)
        out = this.#unmask({ from: chunk, at, end: pieceEnd }, chunk, out)
      else this.#readControl(chunk, at, pieceEnd)
      at = pieceEnd
    }
    return out
  }

  #readHeader(chunk: Uint8Array, start: number, end: number): number {
    let at = start
    while (at < end) {
      this.#header[this.#headerBytes++] = byteAt(chunk, at++)
      if (this.#headerBytes < 2 || this.#headerBytes < this.#headerLength()) continue
      this.#maskFrom = this.#headerBytes - MASK_BYTES
      this.#maskAt = 0
      this.#headerBytes = 0
      this.#beginFrame()
      return at
    }
    return at
  }

  #headerLength(): number {
    const length = byteAt(this.#header, 1) & ~MASK_BIT
    const lengthBytes = length === LENGTH_64 ? 8 : length === LENGTH_16 ? 2 : 0
    return 2 + lengthBytes + MASK_BYTES
  }

  #beginFrame(): void {
    const first = byteAt(this.#header, 0)
    const second = byteAt(this.#header, 1)
    this.#opcode = first & 0x0f
    this.#isFinal = (first & FIN) !== 0
    this.#payloadLeft = this.#payloadLength(second & ~MASK_BIT)
    this.#controlBytes = 0
    if ((first & RESERVED_BITS) !== 0 || (second & MASK_BIT) === 0) this.#closeCode = CloseCode.protocolError
    else if ((this.#opcode & CONTROL_BIT) !== 0) this.#beginControl()
    else this.#beginData()
  }

  #payloadLength(length: number): number {
    if (length === LENGTH_16) return readU16(this.#header, 2)
    if (length === LENGTH_64) return readU32(this.#header, 2) * 2 ** 32 + readU32(this.#header, 6)
    return length
  }

  #beginControl(): void {
    const isKnown = this.#opcode <= Opcode.pong
    if (!isKnown || !this.#isFinal || this.#payloadLeft > CONTROL_BYTES_MAX) {
      this.#closeCode = CloseCode.protocolError
    } else if (this.#payloadLeft === 0) {
      this.#endControl()
    }
  }

  #beginData(): void {
    const continues = this.#opcode === Opcode.continuation
    if (this.#opcode === Opcode.text) {
      this.#closeCode = CloseCode.unsupported
    } else if ((!continues && this.#opcode !== Opcode.binary) || continues !== this.#isMessageOpen) {
      this.#closeCode = CloseCode.protocolError
    } else {
      this.#messageBytes = (continues ? this.#messageBytes : 0) + this.#payloadLeft
      this.#isMessageOpen = !this.#isFinal
      if (this.#messageBytes > this.#messageBytesMax) this.#closeCode = CloseCode.tooBig
    }
  }

  #readControl(chunk: Uint8Array, at: number, end: number): void {
    this.#control ??= new Uint8Array(CONTROL_BYTES_MAX)
    this.#controlBytes = this.#unmask({ from: chunk, at, end }, this.#control, this.#controlBytes)
    if (this.#payloadLeft === 0) this.#endControl()
  }

  #endControl(): void {
    const payload = this.#control?.subarray(0, this.#controlBytes) ?? new Uint8Array(0)
    if (this.#opcode === Opcode.ping) {
      this.#pingCount++
      if (this.#pings.length === PINGS_MAX) this.#pings.shift()
      this.#pings.push(payload.slice())
    } else if (this.#opcode === Opcode.close) {
      const code = payload.length >= 2 ? readU16(payload, 0) : CloseCode.noStatus
      // The same code goes back (§5.5.1), if it is one.
      this.#closeCode = payload.length === 0 || mayBeSent(code) ? code : CloseCode.protocolError
    }
  }

  /** Puts from[at, end) unmasked at `out`, which is not behind it in the same memory; returns where that ends. */
  #unmask(
    { from, at, end }: { from: Uint8Array; at: number; end: number },
    to: Uint8Array,
    out: number,
  ): number {
    const [mask, first] = [this.#header, this.#maskAt]
    const a = byteAt(mask, this.#maskFrom + first)
    const b = byteAt(mask, this.#maskFrom + ((first + 1) & 3))
    const c = byteAt(mask, this.#maskFrom + ((first + 2) & 3))
    const d = byteAt(mask, this.#maskFrom + ((first + 3) & 3))
    let i = at
    let o = out
    for (; i + 3 < end; i += 4, o += 4) {
      to[o] = byteAt(from, i) ^ a
      to[o + 1] = byteAt(from, i + 1) ^ b
      to[o + 2] = byteAt(from, i + 2) ^ c
      to[o + 3] = byteAt(from, i + 3) ^ d
    }
    for (let rest = first; i < end; i++, o++, rest++) {
      to[o] = byteAt(from, i) ^ byteAt(mask, this.#maskFrom + (rest & 3))
    }
    this.#maskAt = (first + end - at) & 3
    return o
  }
}

/** What precedes a payload of less than 64 KiB that leaves in one final frame; servers send no mask. */
export function webSocketHeader(opcode: Opcode, payloadBytes: number): Uint8Array {
  const isShort = payloadBytes < LENGTH_16
  const header = new Uint8Array(isShort ? 2 : 4)
  header[0] = FIN | opcode
  header[1] = isShort ? payloadBytes : LENGTH_16
  if (!isShort) writeU16(header, 2, payloadBytes)
  return header
}

/** A close frame; without a code for `noStatus`, which is never sent. */
export function closeFrame(code: number, text = ''): Uint8Array {
  if (code === CloseCode.noStatus) return webSocketHeader(Opcode.close, 0)
  const reason = Buffer.from(text)
  const frame = Buffer.concat([webSocketHeader(Opcode.close, 2 + reason.length), new Uint8Array(2), reason])
  writeU16(frame, 2, code)
  return frame
}
