// Addresses that bridges offer each other: none of a tunnel, none of this host alone.

import { BlockList, isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ownCandidates, readCandidate } from '#bridge/candidates.ts'

const tunnel = new BlockList()
tunnel.addSubnet('10.9.0.0', 16)
tunnel.addSubnet('fd09::', 16, 'ipv6')
const isInside = (address: string): boolean => tunnel.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')

function on(address: string, internal = false): NetworkInterfaceInfo {
  return { address, internal, netmask: '', mac: '', cidr: null, family: 'IPv4' }
}

test('of this host, those of real interfaces that no tunnel carries', () => {
  const interfaces = {
    lo: [on('127.0.0.1', true), on('198.18.99.2', true)],
    eth0: [on('192.168.1.5'), on('2001:db8::5'), on('fe80::1'), on('10.9.0.7'), on('fd09::7')],
    wg0: [on('10.8.0.1'), on('203.0.113.9')],
  }
  const found = ownCandidates(4_000, isInside, interfaces, (name) => name === 'wg0')
  expect(found).toEqual(['192.168.1.5:4000', '[2001:db8::5]:4000'])
})

test('sixteen at most', () => {
  const many = Array.from({ length: 300 }, (_, i) => on(`192.0.2.${i % 250}`))
  expect(ownCandidates(1, isInside, { eth0: many }, () => false)).toHaveLength(16)
})

test.each([
  ['192.0.2.1:1', { host: '192.0.2.1', port: 1 }],
  ['[2001:db8::1]:65535', { host: '2001:db8::1', port: 65_535 }],
])('of the other bridge, %s', (text, address) => {
  expect(readCandidate(text, isInside)).toEqual(address)
})

test.each([
  ['in the tunnel', '10.9.0.1:5000'],
  ['in the tunnel, by IPv6', '[fd09::1]:5000'],
  ['in the tunnel, as IPv6', '[::ffff:10.9.0.1]:5000'],
  ['in the tunnel, as IPv6 in hexadecimal digits', '[::ffff:a09:1]:5000'],
  ['this host', '127.0.0.1:5000'],
  ['this host, by IPv6', '[::1]:5000'],
  ['nobody', '0.0.0.0:5000'],
  ['all of a network', '255.255.255.255:5000'],
  ['a group', '224.0.0.1:5000'],
  ['a group, by IPv6', '[ff02::1]:5000'],
  ['a neighbour on an unnamed network', '[fe80::1]:5000'],
  ['no port', '192.0.2.1:0'],
  ['a port that does not exist', '192.0.2.1:65536'],
  ['a name', 'relay.example.com:5000'],
  ['an address that is none', '192.0.2.300:5000'],
])('never %s', (_, text) => {
  expect(readCandidate(text, isInside)).toBeUndefined()
})

test('any other text is none', () => {
  fc.assert(fc.property(fc.string(), (text) => readCandidate(text, isInside) === undefined))
})
