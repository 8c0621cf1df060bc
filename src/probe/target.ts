// What can be probed: one relay by its address, or all relays of a DERP map; and a relay as the checks see it,
// wherever it was named. Nothing is looked up or opened here.

import { existsSync } from 'node:fs'
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { fileURLToPath } from 'node:url'
import { STUN_PORT, type MapNode, type MapRegion } from '#fleet/derp-map-reader.ts'
import { endpointText } from '#config/listener-settings.ts'
import type { ProbeSettings } from '#cli/probe-options.ts'

export type ProbeTarget = RelayTarget | MapTarget

export interface RelayTarget {
  readonly kind: 'relay'
  readonly host: string
  readonly port: number
  /** Plain TCP, as `http://` says. */
  readonly isPlain: boolean
}

/** Where a map is: a file's path or an address. */
export type MapTarget =
  | { readonly kind: 'map-file'; readonly path: string }
  | { readonly kind: 'map-url'; readonly url: string }

export const TARGET_EXPECTED =
  'HOST, HOST:PORT or https://HOST:PORT of a relay, or the path or URL of a DERP map (JSON, or YAML)'

/** Reads a target; undefined for what can be none. */
export function parseTarget(word: string): ProbeTarget | undefined {
  if (/^file:/i.test(word)) return fileTarget(word)
  if (/^https?:/i.test(word)) return urlTarget(word)
  if (/\.(json|ya?ml)$/i.test(word) || word.includes('/')) return { kind: 'map-file', path: word }
  const relay = hostTarget(word)
  // A map may be called anything; a file that is there is meant, unless it looks like an address.
  return relay === undefined && existsSync(word) ? { kind: 'map-file', path: word } : relay
}

function fileTarget(word: string): MapTarget | undefined {
  try {
    return { kind: 'map-file', path: fileURLToPath(word) }
  } catch {
    return undefined
  }
}

/** A path of its own makes it a map's address: a relay has none but `/derp`. */
function urlTarget(word: string): ProbeTarget | undefined {
  const url = URL.parse(word)
  if (url === null || url.username !== '' || url.password !== '') return undefined
  const isRelay = (url.pathname === '/' || url.pathname === '/derp') && url.search === ''
  if (!isRelay) return { kind: 'map-url', url: url.href }
  const isPlain = url.protocol === 'http:'
  const port = url.port === '' ? (isPlain ? 80 : 443) : Number(url.port)
  return { kind: 'relay', host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port, isPlain }
}

function hostTarget(word: string): RelayTarget | undefined {
  if (isIPv6(word)) return { kind: 'relay', host: word, port: 443, isPlain: false }
  const [, bracketed, plain = '', portText = '443'] =
    /^(?:\[([^\]]+)\]|([\w.-]+))(?::(\d+))?$/.exec(word) ?? []
  const port = Number(portText)
  if (port < 1 || port > 65_535) return undefined
  if (bracketed !== undefined && !isIPv6(bracketed)) return undefined
  const host = bracketed ?? plain
  return host === '' ? undefined : { kind: 'relay', host, port, isPlain: false }
}

/** A relay to be probed. */
export interface ProbeNode {
  /** As the map has it; undefined for a single relay. */
  readonly name: string | undefined
  readonly region: { readonly id: number; readonly code: string } | undefined
  readonly host: string
  readonly port: number
  readonly isPlain: boolean
  readonly certName: string | undefined
  readonly isInsecure: boolean
  /** By family: a literal; empty: ask DNS; anything else: none. */
  readonly addresses: { readonly 4: string; readonly 6: string }
  /** −1: not asked. */
  readonly stunPort: number
  readonly stunAddress: string | undefined
  readonly isStunOnly: boolean
  /** Where captive-portal checks are made over plain HTTP; undefined: on the DERP port. */
  readonly httpPort: number | undefined
}

/** How a node is called in the output. */
export function nodeTitle(node: ProbeNode): string {
  const where = endpointText({ host: node.host, port: node.port })
  return node.name === undefined ? where : `${node.name} (${where})`
}

export function nodeOfRelay(target: RelayTarget, settings: ProbeSettings): ProbeNode {
  const { host, port, isPlain } = target
  const family = isIP(host)
  const none = 'none'
  return {
    name: undefined,
    region: undefined,
    host,
    port,
    isPlain,
    certName: settings.pin,
    isInsecure: settings.isInsecure,
    addresses: {
      4: family === 0 ? '' : isIPv4(host) ? host : none,
      6: family === 0 ? '' : isIPv6(host) ? host : none,
    },
    stunPort: settings.stunPort ?? STUN_PORT,
    stunAddress: undefined,
    isStunOnly: false,
    httpPort: portOrUndefined(settings.httpPort ?? -1),
  }
}

export function nodeOfMap(region: MapRegion, node: MapNode, settings: ProbeSettings): ProbeNode {
  return {
    name: node.name,
    region: { id: region.id, code: region.code },
    host: node.hostName,
    port: node.derpPort,
    isPlain: false,
    // Tailscale's clients verify a CertName even where they are told to be insecure; the flag is stronger.
    certName: node.certName === '' || settings.isInsecure ? undefined : node.certName,
    isInsecure: settings.isInsecure || node.isInsecureForTests,
    addresses: { 4: node.ipv4, 6: node.ipv6 },
    stunPort: settings.stunPort ?? node.stunPort,
    stunAddress: node.stunTestIp === '' ? undefined : node.stunTestIp,
    isStunOnly: node.isStunOnly,
    httpPort: portOrUndefined(settings.httpPort ?? (node.canPort80 ? 80 : -1)),
  }
}

function portOrUndefined(port: number): number | undefined {
  return port === -1 ? undefined : port
}
