// The proxy for a request, chosen as Go's programs do from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, each in upper or lower
// case. Requests to this host itself use no proxy.

import { BlockList, isIP, isIPv4 } from 'node:net'
import { parseWebAddress, portOf, type WebAddress } from '#protocol/web-address.ts'
import type { Environment } from './verifier.ts'

/** The proxy for an address; undefined for none. */
export type ProxyChoice = (target: WebAddress) => WebAddress | undefined

type Rule = (host: string, port: number) => boolean

export function proxyChoice(env: Environment): ProxyChoice {
  const http = parseProxy(firstOf(env, 'HTTP_PROXY', 'http_proxy'))
  const https = parseProxy(firstOf(env, 'HTTPS_PROXY', 'https_proxy'))
  const rules = firstOf(env, 'NO_PROXY', 'no_proxy')
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== '')
    .map(ruleOf)
  return (target) => {
    const proxy = target.scheme === 'https' ? https : http
    if (proxy === undefined || isThisHost(target.hostname)) return undefined
    const host = target.hostname.toLowerCase()
    return rules.some((isDirect) => isDirect(host, portOf(target))) ? undefined : proxy
  }
}

/** Accepts a URL without its scheme, too. Anything else counts as no proxy. */
function parseProxy(text: string): WebAddress | undefined {
  if (text === '') return undefined
  for (const candidate of [text, `http://${text}`]) {
    try {
      const address = parseWebAddress(candidate)
      if (address.scheme !== '' && address.hostname !== '') return address
    } catch {
      continue
    }
  }
  return undefined
}

function isThisHost(hostname: string): boolean {
  if (hostname === 'localhost') return true
  const ip = hostname.split('%', 1)[0] ?? ''
  return isIP(ip) !== 0 && LOOPBACK.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** `*`, an address, an address range, or a domain with its subdomains; an address or domain may have a port. */
function ruleOf(entry: string): Rule {
  if (entry === '*') return () => true
  const [network = '', prefix] = entry.split('/')
  if (prefix !== undefined && isIP(network) !== 0) return rangeRule(network, Number(prefix))
  const [, name = '', portText] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [undefined, entry]
  const matchesPort = (port: number): boolean => portText === undefined || Number(portText) === port
  const bare = name.replace(/^\[(.*)\]$/, '$1')
  if (isIP(bare) !== 0) {
    const isOne = rangeRule(bare, isIPv4(bare) ? 32 : 128)
    return (host, port) => matchesPort(port) && isOne(host, port)
  }
  if (bare === '') return () => false
  const domain = bare.replace(/^\*\./, '.')
  const suffix = domain.startsWith('.') ? domain : `.${domain}`
  return (host, port) =>
    matchesPort(port) &&
    isIP(host) === 0 &&
    (host.endsWith(suffix) || (!domain.startsWith('.') && host === domain))
}

function rangeRule(network: string, prefix: number): Rule {
  const list = new BlockList()
  const family = isIPv4(network) ? 'ipv4' : 'ipv6'
  try {
    list.addSubnet(network, prefix, family)
  } catch {
    return () => false
  }
  return (host) => isIP(host) !== 0 && list.check(host, isIPv4(host) ? 'ipv4' : 'ipv6')
}

function firstOf(env: Environment, upper: string, lower: string): string {
  return env[upper] || env[lower] || ''
}
