// Addresses as bytes and text, compared with RFC 5952's samples and with URLs.

import { isIP } from 'node:net'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { IP_BYTES, ipToBytes, ipToText, isMappedIpv4, unmapped } from '#protocol/ip-address.ts'
import { damaged, exactly } from './arbitraries.ts'

it.each([
  ['203.0.113.7', '00000000000000000000ffffcb007107'],
  ['0.0.0.0', '00000000000000000000ffff00000000'],
  ['255.255.255.255', '00000000000000000000ffffffffffff'],
  ['2001:db8::7', '20010db8000000000000000000000007'],
  ['::1', '00000000000000000000000000000001'],
  ['1::', '00010000000000000000000000000000'],
  ['fe80::1:2:3:4', 'fe800000000000000001000200030004'],
  ['2001:db8:1234:5678:11:2233:4455:6677', '20010db8123456780011223344556677'],
])('reads and writes %s', (text, hex) => {
  expect(toHex(ipToBytes(text))).toBe(hex)
  expect(ipToText(Buffer.from(hex, 'hex'))).toBe(text)
})

it.each([
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::FFFF:cb00:7107', '203.0.113.7'],
  ['::203.0.113.7', '::cb00:7107'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['2001:0DB8:0000:0000:0000:0000:0000:0007', '2001:db8::7'],
  ['fe80::1%eth0', 'fe80::1'],
  // RFC 5952 sections 4.2.2 and 4.2.3: a single zero is not shortened; of equal runs the first is.
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['0:0:1:0:0:0:0:0', '0:0:1::'],
])('reads %s as %s', (text, canonical) => {
  expect(ipToText(ipToBytes(text))).toBe(canonical)
})

it.each([
  '',
  'x',
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  '01.2.3.4',
  ' 1.2.3.4',
  '1::2::3',
  '12345::',
  '::1.2.3',
  ':',
  '%',
])('reads "%s", which is no address, as unknown', (text) => {
  expect(toHex(ipToBytes(text))).toBe('00'.repeat(IP_BYTES))
})

it('writes the unknown address as an empty text', () => {
  expect(ipToText(new Uint8Array(IP_BYTES))).toBe('')
})

it('reads every address that it writes', () => {
  fc.assert(
    fc.property(exactly(IP_BYTES), (bytes) => {
      const text = ipToText(bytes)
      expect(isIP(text)).not.toBe(0)
      expect(ipToBytes(text)).toEqual(bytes)
    }),
  )
})

it('writes IPv6 addresses as URLs do', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 }),
      (words) => {
        const bytes = Buffer.concat(words.map((word) => Buffer.from([word >>> 8, word])))
        fc.pre(!isMappedIpv4(bytes) && words.some((word) => word !== 0))
        const url = new URL(`http://[${words.map((word) => word.toString(16)).join(':')}]/`)
        expect(ipToText(bytes)).toBe(url.hostname.slice(1, -1))
      },
    ),
  )
})

it('reads every form of IPv6 as URLs do', () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const bytes = ipToBytes(text)
      fc.pre(!isMappedIpv4(bytes) && bytes.some((byte) => byte !== 0))
      expect(`[${ipToText(bytes)}]`).toBe(new URL(`http://[${text}]/`).hostname)
    }),
  )
})

it('reads IPv4 as mapped, and recognises mapped addresses', () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      const bytes = ipToBytes(text)
      expect([...bytes.subarray(12)].join('.')).toBe(text)
      expect(isMappedIpv4(bytes)).toBe(true)
      expect(ipToBytes(`::ffff:${text}`)).toEqual(bytes)
      expect(unmapped(`::ffff:${text}`)).toBe(text)
      expect(unmapped(text)).toBe(text)
    }),
  )
  expect(isMappedIpv4(ipToBytes('2001:db8::7'))).toBe(false)
})

it.each(['::ffff:cb00:7107', '::fffe:1.2.3.4', '2001:db8::7', '::ffff:', 'host', ''])(
  'leaves "%s" unchanged',
  (text) => {
    expect(unmapped(text)).toBe(text)
  },
)

it('reads damaged text as an address if it is one, otherwise as unknown', () => {
  const samples = ['203.0.113.7', '2001:db8::7', '::ffff:203.0.113.7', '1:2:3:4:5:6:7:8', 'fe80::1%lo']
  fc.assert(
    fc.property(damaged(...samples.map((text) => Buffer.from(text))), (damagedText) => {
      const text = damagedText.toString('latin1')
      const bytes = ipToBytes(text)
      expect(bytes.length).toBe(IP_BYTES)
      const isAddress = isIP(text) === 4 || isIP(text.split('%')[0] ?? '') === 6
      if (!isAddress) expect(ipToText(bytes)).toBe('')
      else expect(ipToBytes(ipToText(bytes))).toEqual(bytes)
    }),
    { numRuns: 1_000 },
  )
})
