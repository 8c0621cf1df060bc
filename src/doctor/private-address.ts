// Addresses that mean nothing outside of a private network. Pure.

import { BlockList, isIPv4, isIPv6 } from 'node:net'

const PRIVATE = new BlockList()
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  // Shared by the customers of a provider (RFC 6598).
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['127.0.0.0', 8],
] as const)
  PRIVATE.addSubnet(network, bits)
PRIVATE.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.addSubnet('fe80::', 10, 'ipv6')
PRIVATE.addAddress('::1', 'ipv6')

/** Of a text that is no address: false. */
export function isPrivateAddress(text: string): boolean {
  if (isIPv4(text)) return PRIVATE.check(text)
  return isIPv6(text) && PRIVATE.check(text, 'ipv6')
}

/** The address of `192.0.2.1:80` and `[2001:db8::1]:80`. */
export function addressIn(endpoint: string): string {
  return /^\[?(.*?)\]?:\d+$/.exec(endpoint)?.[1] ?? endpoint
}
