// Where something listens, and how an operator writes that: `:443`, `127.0.0.1:443`, `[::1]:443`, `:https`, as in Go.

import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { hostPortText } from '#protocol/host-port.ts'

export interface Endpoint {
  /** An IP address or a host name. Empty: every address of the families that the machine has. */
  readonly host: string
  /** 0: the system chooses a free port, for tests. */
  readonly port: number
}

const PORT_NAMES: Readonly<Record<string, number>> = { http: 80, https: 443 }

/** Undefined for an invalid text. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, bracketed, plain, portText = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]+)$/.exec(text) ?? []
  const port = PORT_NAMES[portText] ?? (/^\d+$/.test(portText) ? Number(portText) : Number.NaN)
  if (!(port >= 0 && port <= 65_535)) return undefined
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined
  if (plain === undefined || !/^[\w.-]*$/.test(plain)) return undefined
  return { host: plain, port }
}

/** HOST:PORT, an IPv6 address in brackets. */
export function endpointText({ host, port }: Endpoint): string {
  return hostPortText(host, port)
}

/** Matches every way to write an address. */
const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether only this machine can reach a listener on the host. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return LOOPBACK.check(host)
  return isIPv6(host) ? LOOPBACK.check(host, 'ipv6') : /^localhost\.?$/i.test(host)
}

/** Whether the host stands for every address of the machine. */
export function isEveryAddress(host: string): boolean {
  return host === '' || host === '::' || host === '0.0.0.0'
}
