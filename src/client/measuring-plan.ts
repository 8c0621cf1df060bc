// Which regions a client measures and when, by the rules of Tailscale's clients: the plan of a full report, and the regions
// of the measurement by HTTPS. Pure: sends nothing. What is done with the latencies is in home-choice.ts.

import { isIPv4, isIPv6 } from 'node:net'
import type { Family, MapNode, MapRegion } from './relay-map.ts'

/** One STUN request. */
export interface StunProbe {
  readonly region: number
  readonly node: MapNode
  readonly family: Family
  /** After the start of the measurement. */
  readonly delayMs: number
}

/** The requests to one region over one family, by time. The first answer ends the set. */
export type ProbeSet = readonly [StunProbe, ...StunProbe[]]

/** The families for which this host has an address that is not only its own. */
export type HostFamilies = Readonly<Record<Family, boolean>>

const TRIES = 3
const TRY_INTERVAL_MS = 100
const FAMILIES: readonly Family[] = [4, 6]

/** Three requests to every region over each family: try 0, 1 and 2 go to different nodes if the region has them. */
export function fullPlan(regions: readonly MapRegion[], host: HostFamilies): readonly ProbeSet[] {
  return regions.filter(isMeasured).flatMap((region) =>
    FAMILIES.flatMap((family) => {
      const probes = Array.from({ length: TRIES }, (_, attempt) => probeOf(region, family, attempt))
      const [first, ...others] = probes.filter(({ node }) => mayAnswer(node, family, host))
      return first === undefined ? [] : [[first, ...others] as const]
    }),
  )
}

function probeOf({ id, nodes }: MapRegion, family: Family, attempt: number): StunProbe {
  const node = nodes[attempt % nodes.length]
  if (node === undefined) throw new Error(`region ${id} has no nodes`)
  return { region: id, node, family, delayMs: attempt * TRY_INTERVAL_MS }
}

/** Whether a region can be measured at all. */
export function isMeasured({ state, nodes }: MapRegion): boolean {
  return state !== 'draining' && nodes.length > 0
}

/** Whether a region is measured by HTTPS when no region answers STUN. */
export function isMeasuredByHttps(region: MapRegion): boolean {
  return (
    isMeasured(region) && region.isAvoid !== true && region.nodes.some((node) => node.isStunOnly !== true)
  )
}

function mayAnswer(node: MapNode, family: Family, host: HostFamilies): boolean {
  if (addressIn(node, family) === 'none') return false
  return isForTests(node) || (host[family] && hasFamily(node, family))
}

/** Clients measure such a node also without a suitable interface. */
function isForTests({ stunTestIp, ipv4 }: MapNode): boolean {
  return stunTestIp !== undefined || ipv4 === '127.0.0.1'
}

/** Whether the node has an address in this family, or may have one in DNS. */
export function hasFamily(node: MapNode, family: Family): boolean {
  const address = addressIn(node, family)
  return address === undefined || (family === 4 ? isIPv4(address) : isIPv6(address))
}

/** The node's address in the map: undefined if DNS has it; any text that is none if the node has no address. */
export function addressIn(node: MapNode, family: Family): string | undefined {
  return family === 4 ? node.ipv4 : node.ipv6
}
