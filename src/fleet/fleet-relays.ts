// The relays of a fleet, each once, with what its host has to know: the nodes that it is, its place, its siblings, its names
// in DNS. A function of the regions. Terraform's module computes the same (deploy/terraform/modules/fleet); fleet-plan.test.ts
// and the deployment tests compare them.

import { derpPortOf, stunPortOf, type Node } from './node.ts'
import type { Region } from './region.ts'
import { siblingName } from './sibling.ts'

/** One relay: all nodes of the fleet's file that are this relay. */
export interface FleetRelay {
  /** The name of its first node that is no standby. Files and hosts are named by it. */
  readonly name: string
  /** Its names as a node of the DERP map, the first one first. */
  readonly nodes: readonly string[]
  /** The first is where it stands; in the others it is a standby. */
  readonly regions: readonly number[]
  readonly hostname: string
  readonly ipv4: string | undefined
  readonly ipv6: string | undefined
  readonly certName: string | undefined
  readonly derpPort: number
  /** Undefined: it answers no STUN. */
  readonly stunPort: number | undefined
  /** Another relay has the same host name, so its own does not say which it is. */
  readonly isAmbiguous: boolean
  /** No other relay of its region takes its clients when it stops. */
  readonly isAlone: boolean
  readonly siblings: readonly DialledSibling[]
}

/** A sibling as this relay dials it. */
export interface DialledSibling {
  readonly name: string
  readonly host: string
  readonly port: number
  /** It shares a region with this relay. */
  readonly isInside: boolean
}

export interface DnsRecords {
  /** In lower case, without a dot at the end. */
  readonly name: string
  readonly type: 'A' | 'AAAA'
  readonly addresses: readonly string[]
}

/** Short enough that a relay can move within minutes. */
export const DNS_TTL_SECONDS = 300

interface Entry {
  readonly region: Region
  readonly node: Node
}

/** By the ids of their regions, and in a region as in the file. */
export function fleetRelays(regions: readonly Region[]): readonly FleetRelay[] {
  const entries = regions
    .toSorted((a, b) => a.id - b.id)
    .flatMap((region) => region.nodes.map((node): Entry => ({ region, node })))
  const byRelay = new Map<string, readonly Entry[]>()
  for (const entry of entries) {
    const key = siblingName(entry.node)
    byRelay.set(key, [...(byRelay.get(key) ?? []), entry])
  }
  const relays = [...byRelay.values()].map((all) => relayOf(regularFirst(all), entries))
  return relays.map((relay) => Object.assign({ siblings: siblingsOf(relay, relays) }, relay.facts))
}

/** A relay has at least one entry. */
type Entries = readonly [Entry, ...Entry[]]

function regularFirst(all: readonly Entry[]): Entries {
  return all.toSorted(
    (a, b) => Number(a.node.isStandby === true) - Number(b.node.isStandby === true),
  ) as unknown as Entries
}

interface Relay {
  readonly node: Node
  readonly facts: Omit<FleetRelay, 'siblings'>
}

function relayOf(all: Entries, entries: readonly Entry[]): Relay {
  const { node, region } = all[0]
  const key = siblingName(node)
  const isSameHost = (one: Entry): boolean => one.node.hostname.toLowerCase() === node.hostname.toLowerCase()
  const others = region.nodes.filter((one) => one.isStandby !== true && siblingName(one) !== key)
  const stunPort = stunPortOf(node)
  const facts = {
    name: node.name,
    nodes: all.map((one) => one.node.name),
    regions: [...new Set(all.map((one) => one.region.id))],
    hostname: node.hostname,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    certName: node.certName,
    derpPort: derpPortOf(node),
    stunPort: stunPort === -1 ? undefined : stunPort,
    isAmbiguous: entries.some((one) => isSameHost(one) && siblingName(one.node) !== key),
    isAlone: others.length === 0,
  }
  return { node, facts }
}

function siblingsOf(own: Relay, relays: readonly Relay[]): readonly DialledSibling[] {
  const ownRegions = new Set(own.facts.regions)
  return relays.flatMap((one) =>
    one === own
      ? []
      : {
          name: one.facts.name,
          host: one.node.meshHost ?? one.node.hostname,
          port: derpPortOf(one.node),
          isInside: one.facts.regions.some((id) => ownRegions.has(id)),
        },
  )
}

/** The addresses of each name, by name and type. Host names that are addresses need no record. */
export function dnsRecords(relays: readonly FleetRelay[]): readonly DnsRecords[] {
  const found = new Map<string, Set<string>>()
  for (const { hostname, ipv4, ipv6 } of relays) {
    if (isAddress(hostname)) continue
    for (const [type, address] of [
      ['A', ipv4],
      ['AAAA', ipv6],
    ] as const) {
      if (address === undefined || address === 'none') continue
      const key = `${hostname.toLowerCase()} ${type}`
      found.set(key, (found.get(key) ?? new Set()).add(address))
    }
  }
  const sorted = [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([key, addresses]) => {
    const [name = '', type] = key.split(' ')
    return { name, type: type === 'A' ? 'A' : 'AAAA', addresses: [...addresses].toSorted() }
  })
}

/** As any language can tell: a colon, or four numbers with dots. */
function isAddress(hostname: string): boolean {
  return hostname.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(hostname)
}
