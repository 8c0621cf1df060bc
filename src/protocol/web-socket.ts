// The server's side of WebSocket framing (RFC 6455 §5), as DERP uses it: a byte stream in binary messages whose boundaries
// mean nothing. A message is never assembled: payloads are unmasked in place and moved together. So a connection keeps
// only a partial header, one control frame and the latest pings, whatever the client sends. No I/O.

import { byteAt, readU16, writeU16 } from './bytes.ts'
import {
  CloseCode,
  closeCodeFor,
  CONTROL_BYTES_MAX,
  FIN,
  LENGTH_16,
  Opcode,
  WebSocketHeader,
} from './web-socket-header.ts'

/** Unanswered pings kept. Only the latest must be answered (§5.5.3), and clients send one at a time. */
export const PINGS_MAX = 8

export interface Pings {
  readonly count: number
  /** Payloads of the latest pings. */
  readonly latest: readonly Uint8Array[]
}

/** Whether a client may send this code (§7.4): a registered one that may be sent, or one of the free ranges. */
function isSendable(code: number): boolean {
  if (code >= 3_000) return code < 5_000
  return code >= 1_000 && code <= 1_014 && (code < 1_004 || code > 1_006)
}

export class WebSocketReader {
  readonly #header: WebSocketHeader
  #payloadLeft = 0
  /** Index of the next of the mask's four bytes. */
  #maskOffset = 0
  /** Made with the first control frame. */
  #control: Uint8Array | undefined = undefined
  #controlBytes = 0
  #pings: Uint8Array[] = []
  #pingCount = 0
  #closeCode: number | undefined = undefined

  /** @param messageBytesMax longest message accepted, all its fragments together */
  constructor(messageBytesMax: number) {
    this.#header = new WebSocketHeader(true, messageBytesMax)
  }

  /** The code to close the stream with, at the client's request or for its fault; nothing more is read. */
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

  /** Reads chunk[start, end) and changes it: afterwards the stream's bytes are at [start, returned). */
  feed(chunk: Uint8Array, start: number, end: number): number {
    let at = start
    let out = start
    while (at < end && this.#closeCode === undefined) {
      if (this.#payloadLeft === 0) {
        at = this.#header.read(chunk, at, end)
        if (at < 0) return out
        this.#beginFrame()
        continue
      }
      const pieceEnd = Math.min(end, at + this.#payloadLeft)
      this.#payloadLeft -= pieceEnd - at
      if (this.#header.isControl) this.#readControl(chunk, at, pieceEnd)
      else out = this.#unmask({ from: chunk, at, end: pieceEnd }, chunk, out)
      at = pieceEnd
    }
    return out
  }

  #beginFrame(): void {
    const { fault, isControl, opcode, payloadBytes } = this.#header
    this.#payloadLeft = payloadBytes
    this.#maskOffset = 0
    this.#controlBytes = 0
    if (fault !== undefined) this.#closeCode = closeCodeFor(fault)
    else if (opcode > Opcode.pong) this.#closeCode = CloseCode.protocolError
    else if (isControl && payloadBytes === 0) this.#endControl()
  }

  #readControl(chunk: Uint8Array, at: number, end: number): void {
    this.#control ??= new Uint8Array(CONTROL_BYTES_MAX)
    this.#controlBytes = this.#unmask({ from: chunk, at, end }, this.#control, this.#controlBytes)
    if (this.#payloadLeft === 0) this.#endControl()
  }

  #endControl(): void {
    const payload = this.#control?.subarray(0, this.#controlBytes) ?? new Uint8Array(0)
    if (this.#header.opcode === Opcode.ping) {
      this.#pingCount++
      if (this.#pings.length === PINGS_MAX) this.#pings.shift()
      this.#pings.push(payload.slice())
    } else if (this.#header.opcode === Opcode.close) {
      const code = payload.length >= 2 ? readU16(payload, 0) : CloseCode.noStatus
      // The same code is sent back (§5.5.1) if it is valid.
      this.#closeCode = payload.length === 0 || isSendable(code) ? code : CloseCode.protocolError
    }
  }

  /** Writes from[at, end) unmasked to `out`, which in the same memory is not behind `at`. Returns the end of the output. */
  #unmask(
    { from, at, end }: { from: Uint8Array; at: number; end: number },
    to: Uint8Array,
    out: number,
  ): number {
    const { bytes: mask, maskAt } = this.#header
    const first = this.#maskOffset
    const a = byteAt(mask, maskAt + first)
    const b = byteAt(mask, maskAt + ((first + 1) & 3))
    const c = byteAt(mask, maskAt + ((first + 2) & 3))
    const d = byteAt(mask, maskAt + ((first + 3) & 3))
    let i = at
    let o = out
    for (; i + 3 < end; i += 4, o += 4) {
      to[o] = byteAt(from, i) ^ a
      to[o + 1] = byteAt(from, i + 1) ^ b
      to[o + 2] = byteAt(from, i + 2) ^ c
      to[o + 3] = byteAt(from, i + 3) ^ d
    }
    for (let rest = first; i < end; i++, o++, rest++) {
      to[o] = byteAt(from, i) ^ byteAt(mask, maskAt + (rest & 3))
    }
    this.#maskOffset = (first + end - at) & 3
    return o
  }
}

/** The header of one final, unmasked frame with less than 64 KiB of payload. */
export function webSocketHeader(opcode: Opcode, payloadBytes: number): Uint8Array {
  const isShort = payloadBytes < LENGTH_16
  const header = new Uint8Array(isShort ? 2 : 4)
  header[0] = FIN | opcode
  header[1] = isShort ? payloadBytes : LENGTH_16
  if (!isShort) writeU16(header, 2, payloadBytes)
  return header
}

/** A close frame; `noStatus` is never sent and stands for no code. */
export function closeFrame(code: number, text = ''): Uint8Array {
  if (code === CloseCode.noStatus) return webSocketHeader(Opcode.close, 0)
  const reason = Buffer.from(text)
  const frame = Buffer.concat([webSocketHeader(Opcode.close, 2 + reason.length), new Uint8Array(2), reason])
  writeU16(frame, 2, code)
  return frame
}
