// Numbers, keys and hex compared with the runtime's Buffer methods. Callers check bounds.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  bytesEqual,
  concatBytes,
  fromHex,
  isZero,
  readU16,
  readU32,
  readWord,
  startsWithAt,
  toHex,
  writeU16,
  writeU32,
} from '#protocol/bytes.ts'

const someBytes = fc.uint8Array({ maxLength: 80 })

it('writes and reads numbers as the runtime does, at any position', () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.integer({ min: 0, max: 0xffffffff }), fc.nat(9), (small, large, at) => {
      const buffer = Buffer.alloc(20, 0xee)
      writeU16(buffer, at, small)
      writeU32(buffer, at + 2, large)
      const expected = Buffer.alloc(20, 0xee)
      expected.writeUInt16BE(small, at)
      expected.writeUInt32BE(large, at + 2)
      expect(buffer).toEqual(expected)
      expect(readU16(buffer, at)).toBe(small)
      expect(readU32(buffer, at + 2)).toBe(large)
      expect(readWord(buffer, at)).toBe(buffer.readInt32LE(at))
    }),
  )
})

it('reads a length of 4 GiB less one as a positive number', () => {
  expect(readU32(Buffer.from('ffffffff', 'hex'), 0)).toBe(4_294_967_295)
})

it('compares bytes as hex text does', () => {
  fc.assert(
    fc.property(someBytes, someBytes, fc.nat(80), (a, b, at) => {
      expect(bytesEqual(a, b)).toBe(Buffer.from(a).toString('hex') === Buffer.from(b).toString('hex'))
      expect(bytesEqual(a, Uint8Array.from(a))).toBe(true)
      const tail = a.slice(at)
      expect(startsWithAt(a, Math.min(at, a.length), tail)).toBe(true)
      expect(startsWithAt(a, Math.min(at, a.length), concatBytes(tail, Uint8Array.of(0)))).toBe(false)
    }),
  )
  expect(startsWithAt(Uint8Array.of(1, 2, 3), 1, Uint8Array.of(2, 4))).toBe(false)
})

it('finds every non-zero byte in the range, and none outside', () => {
  expect(isZero(new Uint8Array(32))).toBe(true)
  for (let at = 0; at < 32; at++) {
    const bytes = new Uint8Array(32)
    bytes[at] = 0x80
    expect(isZero(bytes)).toBe(false)
    expect(isZero(bytes, at + 1)).toBe(true)
    expect(isZero(bytes, 0, at)).toBe(true)
  }
})

it('writes hex in lower case and reads both cases', () => {
  fc.assert(
    fc.property(someBytes, (bytes) => {
      const text = toHex(bytes)
      expect(text).toBe(Buffer.from(bytes).toString('hex'))
      expect(fromHex(text)).toEqual(bytes)
      expect(fromHex(text.toUpperCase())).toEqual(bytes)
      expect(fromHex(`${text}0`)).toBeUndefined()
      expect(fromHex(`${text}0g`)).toBeUndefined()
      expect(fromHex(`${text}\n`)).toBeUndefined()
    }),
  )
})

it('writes hex of a part of a larger buffer', () => {
  expect(toHex(Buffer.from('0011223344', 'hex').subarray(1, 3))).toBe('1122')
})

it('concatenates parts into a new array', () => {
  const part = Uint8Array.of(1, 2)
  const whole = concatBytes(part, new Uint8Array(0), Uint8Array.of(3))
  part[0] = 9
  expect([...whole]).toEqual([1, 2, 3])
})
