// A relay as the checks see it, whether it was named on its own or is a node of a DERP map. Nothing is looked up or
// opened here.

import { isIP, isIPv4, isIPv6 } from 'node:net'
import { derpPortOf, stunPortOf, type Node } from '#fleet/node.ts'
import { STUN_PORT } from '#protocol/default-ports.ts'
import type { Region } from '#fleet/region.ts'
import { endpointText } from '#config/endpoint.ts'
import type { ProbeSettings } from './settings.ts'
import type { RelayTarget } from './target.ts'

/** A relay to probe. */
export interface ProbedNode {
  /** Its name in the map; undefined for a single relay. */
  readonly name: string | undefined
  readonly region: { readonly id: number; readonly code: string } | undefined
  readonly host: string
  readonly port: number
  readonly isPlain: boolean
  readonly certName: string | undefined
  readonly isInsecure: boolean
  /** For each family: an address; empty: look it up in DNS; anything else: the relay has none. */
  readonly addresses: { readonly 4: string; readonly 6: string }
  /** −1: STUN is not checked. */
  readonly stunPort: number
  readonly stunAddress: string | undefined
  readonly isStunOnly: boolean
  /** The plain HTTP port of captive-portal checks; undefined: the DERP port. */
  readonly httpPort: number | undefined
}

/** The name of a node in the output. */
export function nodeTitle(node: ProbedNode): string {
  const where = endpointText({ host: node.host, port: node.port })
  return node.name === undefined ? where : `${node.name} (${where})`
}

export function nodeOfRelay(target: RelayTarget, settings: ProbeSettings): ProbedNode {
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

export function nodeOfMap(region: Region, node: Node, settings: ProbeSettings): ProbedNode {
  return {
    name: node.name,
    region: { id: region.id, code: region.code },
    host: node.hostname,
    port: derpPortOf(node),
    isPlain: false,
    // Tailscale's clients verify a CertName even for a node that is marked insecure; -insecure overrides it.
    certName: settings.isInsecure ? undefined : node.certName,
    isInsecure: settings.isInsecure || node.isInsecureForTests === true,
    addresses: { 4: node.ipv4 ?? '', 6: node.ipv6 ?? '' },
    stunPort: settings.stunPort ?? stunPortOf(node),
    stunAddress: node.stunTestIp,
    isStunOnly: node.isStunOnly ?? false,
    httpPort: portOrUndefined(settings.httpPort ?? (node.canPort80 ? 80 : -1)),
  }
}

function portOrUndefined(port: number): number | undefined {
  return port === -1 ? undefined : port
}
