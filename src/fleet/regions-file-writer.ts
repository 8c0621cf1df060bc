// Regions in the form of the fleet's file, for files that have it inside, such as values of the Helm chart. The reader
// (regions-file.ts) reads the same regions back.

import type { Json } from './canonical-json.ts'
import type { Node } from './node.ts'
import type { Region } from './region.ts'

/** What stands under `regions`, by number. Fields that are undefined are left out. */
export function regionsFileContent(regions: readonly Region[]): Readonly<Record<string, Json>> {
  return Object.fromEntries(regions.map((region) => [region.id, regionContent(region)]))
}

function regionContent({ code, name, latitude, longitude, state, preferWithinMs, nodes }: Region): Json {
  const fields = { code, name, latitude, longitude, state, preferWithinMs, nodes: nodes.map(nodeContent) }
  return present(fields)
}

function nodeContent(node: Node): Json {
  return present({
    name: node.name,
    hostname: node.hostname,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    derpport: node.derpPort,
    stunport: node.stunPort,
    canport80: node.canPort80,
    certname: node.certName,
    standby: node.isStandby,
    mesh: node.meshHost,
  })
}

function present(fields: Readonly<Record<string, Json | undefined>>): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
