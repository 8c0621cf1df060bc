import { expect, it } from 'vitest'
import { ipToBytes } from '#protocol/ip-address.ts'
import { isInNetwork, parseNetwork } from '#protocol/ip-network.ts'

it.each([
  ['192.0.2.0/24', '192.0.2.255', true],
  ['192.0.2.0/24', '192.0.3.0', false],
  ['192.0.2.129/25', '192.0.2.200', true],
  ['192.0.2.129/25', '192.0.2.127', false],
  ['192.0.2.7', '192.0.2.7', true],
  ['192.0.2.7', '192.0.2.6', false],
  ['0.0.0.0/0', '203.0.113.1', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['2001:db8::/33', '2001:db8:7fff::1', true],
  ['2001:db8::/33', '2001:db8:8000::1', false],
  ['::1', '::1', true],
  ['::/0', '2001:db8::1', true],
])('%s holds %s: %s', (network, ip, expected) => {
  const parsed = parseNetwork(network)
  expect(parsed && isInNetwork(ipToBytes(ip), parsed)).toBe(expected)
})

it.each([
  '',
  'example.com',
  '192.0.2.0/33',
  '192.0.2.0/',
  '192.0.2.0/-1',
  '192.0.2.0/8/8',
  '::/129',
  'fe80::1%eth0',
])('%j is no network', (text) => expect(parseNetwork(text)).toBeUndefined())
