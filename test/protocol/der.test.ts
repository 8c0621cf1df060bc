// ASN.1 elements compared with known encodings. Whole certificates have tests of their own.

import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import * as asn1 from '#protocol/der.ts'

it.each([
  [0, '0400'],
  [1, '0401'],
  [0x7f, '047f'],
  [0x80, '048180'],
  [0xff, '0481ff'],
  [0x100, '04820100'],
  [0xffff, '0482ffff'],
])('writes a length of %d in the shortest form', (length, header) => {
  const element = asn1.octetString(new Uint8Array(length))
  expect(element.length).toBe(header.length / 2 + length)
  expect(toHex(element.subarray(0, header.length / 2))).toBe(header)
})

it.each([
  ['1.3.101.112', '06032b6570'],
  ['2.5.4.3', '0603550403'],
  ['2.5.29.19', '0603551d13'],
  ['1.2.840.10045.2.1', '06072a8648ce3d0201'],
  ['1.2.840.113549.1.1.11', '06092a864886f70d01010b'],
  ['1.3.6.1.4.1.4294967295', '060a2b060104018fffffff7f'],
])('writes the object identifier %s', (dotted, hex) => {
  expect(toHex(asn1.oid(dotted))).toBe(hex)
})

it.each([
  ['02', '020102'],
  ['7f', '02017f'],
  ['80', '02020080'],
  ['ff01', '020300ff01'],
])('writes the non-negative integer %s', (bytes, hex) => {
  expect(toHex(asn1.integer(Buffer.from(bytes, 'hex')))).toBe(hex)
})

it('writes dates with seconds in UTC', () => {
  const utcTime = asn1.utcTime(Date.parse('2026-08-01T23:59:58.999Z'))
  expect(toHex(utcTime)).toBe(`170d${Buffer.from('260801235958Z').toString('hex')}`)
})

it.each([
  ['true', asn1.booleanTrue(), '0101ff'],
  ['a bit string', asn1.bitString(Uint8Array.of(5)), '03020005'],
  ['a printable string', asn1.printableString('ab'), '13026162'],
  ['UTF-8', asn1.utf8String('ü'), '0c02c3bc'],
  ['an empty sequence', asn1.sequence(), '3000'],
  ['a set of two', asn1.set(asn1.sequence(), asn1.sequence()), '310430003000'],
  ['[3] explicit', asn1.explicit(3, asn1.sequence()), 'a3023000'],
  ['[2] implicit', asn1.implicit(2, Buffer.from('a')), '820161'],
])('writes %s', (_name, element, hex) => {
  expect(toHex(element)).toBe(hex)
})
