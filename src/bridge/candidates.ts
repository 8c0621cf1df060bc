// Addresses at which a bridge may be reached over UDP: which of this host's it offers, and which of the other one's it takes. None
// that lies in a tunnel: a path through the tunnel that it carries would run in a circle.

import { existsSync, readFileSync } from 'node:fs'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { hostPortText } from '#protocol/host-port.ts'
import { CANDIDATES_MAX } from './control-frame.ts'
import type { LocalAddress } from './settings.ts'

/** Whether the tunnel may carry packets to an address. */
export type IsInside = (address: string) => boolean

/** ARPHRD_NONE, the kind of WireGuard's and of tun devices. */
const NO_HARDWARE = '65534'

/** No other host is there. */
const NOWHERE = new BlockList()
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['224.0.0.0', 3],
] as const) {
  NOWHERE.addSubnet(address, prefix)
}
for (const [address, prefix] of [
  ['::', 127],
  // It would need a zone.
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  NOWHERE.addSubnet(address, prefix, 'ipv6')
}

/** Of an address as text, `host:port`; undefined for anything else, and for what cannot be another host's. */
export function readCandidate(text: string, isInside: IsInside): LocalAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? []
  const [host, port] = [bracketed ?? plain ?? '', Number(digits)]
  if (isIP(host) === 0 || port < 1 || port > 65_535) return undefined
  return isUsable(host, isInside) ? { host, port } : undefined
}

/** Of this host's interfaces, with the port. */
export function ownCandidates(
  port: number,
  isInside: IsInside,
  interfaces = networkInterfaces(),
  isTunnel: (interfaceName: string) => boolean = isTunnelDevice,
): readonly string[] {
  return Object.entries(interfaces)
    .filter(([name]) => !isTunnel(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ address, internal }) => !internal && isUsable(address, isInside))
    .map(({ address }) => hostPortText(address, port))
    .slice(0, CANDIDATES_MAX)
}

function isUsable(host: string, isInside: IsInside): boolean {
  // An address of IPv4 in the clothes of IPv6 would pass by the tunnel's ranges.
  if (host.startsWith('::ffff:')) return false
  return !NOWHERE.check(host, isIPv6(host) ? 'ipv6' : 'ipv4') && !isInside(host)
}

function isTunnelDevice(name: string): boolean {
  const folder = `/sys/class/net/${name}`
  if (existsSync(`${folder}/tun_flags`)) return true
  try {
    return readFileSync(`${folder}/type`, 'utf8').trim() === NO_HARDWARE
  } catch {
    return false
  }
}
