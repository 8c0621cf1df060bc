// Headers of WebSocket frames: both directions, any split, and every rule that a header can break.

import { expect, it } from 'vitest'
import { closeCodeFor, Opcode, WebSocketHeader, type HeaderFault } from '#protocol/web-socket-header.ts'

const MAX = 1_000

/** Reads frames of headers without payload, in pieces of `pieceBytes`. */
function read(isMasked: boolean, hex: string, pieceBytes = 100): WebSocketHeader {
  const bytes = Buffer.from(hex, 'hex')
  const header = new WebSocketHeader(isMasked, MAX)
  for (let at = 0; at < bytes.length && header.fault === undefined;) {
    const end = Math.min(bytes.length, at + pieceBytes)
    const next = header.read(bytes, at, end)
    at = next < 0 ? end : next
  }
  return header
}

it.each([
  ['a short frame', '8205', 5, 2],
  ['a frame with a length of two bytes', '827e0100', 256, 2],
  ['a frame with a length of eight bytes', '827f0000000000000100', 256, 2],
  ['a close frame', '8802', 2, 8],
])('reads the header of %s, masked or not, in any pieces', (_name, hex, payloadBytes, opcode) => {
  const masked = `${hex.slice(0, 2)}${(Number.parseInt(hex.slice(2, 4), 16) | 0x80).toString(16)}${hex.slice(4)}01020304`
  for (let pieceBytes = 1; pieceBytes <= 14; pieceBytes++) {
    expect(read(false, hex, pieceBytes)).toMatchObject({ payloadBytes, opcode, fault: undefined })
    const header = read(true, masked, pieceBytes)
    expect(header).toMatchObject({ payloadBytes, opcode, fault: undefined })
    expect(header.bytes.subarray(header.maskAt, header.maskAt + 4)).toEqual(Uint8Array.of(1, 2, 3, 4))
  }
})

it('returns -1 until the header is complete, and then its end', () => {
  const header = new WebSocketHeader(false, MAX)
  const bytes = Buffer.from('827e0100ff', 'hex')
  expect([header.read(bytes, 0, 1), header.read(bytes, 1, 3), header.read(bytes, 3, 5)]).toEqual([-1, -1, 4])
})

it.each<[string, string, HeaderFault, number]>([
  ['an extension bit', 'c200', 'extension', 1002],
  ['a mask from a server', '828001020304', 'masking', 1002],
  ['a fragmented ping', '0900', 'control', 1002],
  ['a ping of 126 bytes', '897e007e', 'control', 1002],
  ['a text frame', '8100', 'text', 1003],
  ['a continuation without a message', '8000', 'order', 1002],
  ['a second message within a message', '02008200', 'order', 1002],
  ['an unknown data frame', '8300', 'order', 1002],
  ['a message over the limit', '827e03e9', 'length', 1009],
  ['fragments over the limit together', '0200807e03e9', 'length', 1009],
])('finds %s', (_name, hex, fault, closeCode) => {
  expect(read(false, hex).fault).toBe(fault)
  expect(closeCodeFor(fault)).toBe(closeCode)
})

it('a missing mask from a client is a fault', () => {
  expect(read(true, '820001020304').fault).toBe('masking')
})

it('control frames may come between fragments', () => {
  const header = read(false, '020089008000')
  expect([header.fault, header.opcode]).toEqual([undefined, Opcode.continuation])
})
