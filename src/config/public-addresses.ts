// The addresses of this host that the internet can reach, as far as its interfaces show them. A host behind a translator of
// addresses shows none.

import { BlockList } from 'node:net'
import { networkInterfaces } from 'node:os'

/** Not reachable from the internet: private, shared, link-local, documentation and multicast addresses. */
const ELSEWHERE = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  ELSEWHERE.addSubnet(network, prefix, 'ipv4')
}
/** Everything in IPv6 that is no global unicast address (2000::/3), and documentation addresses within it. */
for (const [network, prefix] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001:db8::', 32],
] as const) {
  ELSEWHERE.addSubnet(network, prefix, 'ipv6')
}

export function publicAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ address, family, internal }) => !internal && isPublic(address, family))
    .map(({ address }) => address)
}

function isPublic(address: string, family: 'IPv4' | 'IPv6'): boolean {
  return !ELSEWHERE.check(address, family === 'IPv4' ? 'ipv4' : 'ipv6')
}
