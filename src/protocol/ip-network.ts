// Networks of addresses in the usual text form, and whether an address is in one. Addresses are sixteen bytes, as ip-address.ts
// has them: IPv4 mapped, so that an IPv4 network never holds an IPv6 address.

import { isIPv4, isIPv6 } from 'node:net'
import { ipToBytes } from './ip-address.ts'

export interface IpNetwork {
  readonly ip: Uint8Array
  /** Of the sixteen bytes. */
  readonly bits: number
}

/** Bits before an IPv4 address in mapped form. */
const MAPPED_BITS = 96

/** `192.0.2.0/24`, `2001:db8::/32` or one address; undefined for anything else. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const [address = '', size, ...more] = text.split('/')
  const isV4 = isIPv4(address)
  if ((!isV4 && !isIPv6(address)) || address.includes('%') || more.length > 0) return undefined
  const bitsMax = isV4 ? 32 : 128
  if (size !== undefined && !/^\d{1,3}$/.test(size)) return undefined
  const bits = size === undefined ? bitsMax : Number(size)
  return bits > bitsMax ? undefined : { ip: ipToBytes(address), bits: isV4 ? MAPPED_BITS + bits : bits }
}

export function isInNetwork(ip: Uint8Array, network: IpNetwork): boolean {
  for (let bit = 0; bit < network.bits; bit += 8) {
    const at = bit >> 3
    const shift = Math.max(0, 8 - (network.bits - bit))
    if ((ip[at] ?? 0) >> shift !== (network.ip[at] ?? 0) >> shift) return false
  }
  return true
}
