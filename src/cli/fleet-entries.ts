// The fleet's file as regions of a DERP map: those that this relay is of, or all. What clients are told of a relay is
// what the file says; flags that would say it otherwise are refused.

import type { Findings } from '#config/diagnostics.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { derpNode, type DerpNode } from '#fleet/derp-node.ts'
import type { OptionValues } from '#config/option-values.ts'
import type { ServeOptions } from '#config/options.ts'
import { isOwn, placeProblem } from '#fleet/position-check.ts'
import { readRegionsFile, type FleetNode, type FleetRegion } from '#fleet/regions-file.ts'
import type { RegionEntry } from '#fleet/derp-map-writer.ts'

const DERP_PORT = 443

/** Pins this relay's certificate, where the file does not say how to verify it; undefined: it needs no pin. */
export type Pin = (hostname: string) => string | undefined

/** Undefined after a complaint. @param isAll all regions, and not those of this relay alone */
export function fleetEntries(
  values: OptionValues<ServeOptions>,
  isAll: boolean,
  pin: Pin,
  findings: Findings,
): readonly RegionEntry[] | undefined {
  const path = values.get('regions-file') ?? ''
  const where = values.where('regions-file')
  const file = readFileText(path)
  if (!('text' in file)) {
    return findings.complain(where, `${path} ${whyUnread(file)}`, 'a file of regions, YAML')
  }
  const read = readRegionsFile(path, file.text)
  if ('problems' in read) {
    findings.problems.push(...read.problems)
    return undefined
  }
  const [hostname = '', node, region] = [values.get('hostname'), values.get('node'), values.get('region')]
  const isKnown = hostname !== '' || node !== undefined || region !== undefined
  const problem = isKnown
    ? placeProblem(path, read.regions, { hostname, node, region, hasDirectory: false })
    : undefined
  if (problem !== undefined) return findings.complain(where, problem.found, problem.expected)
  if (!isKnown && !isAll) {
    return findings.complain(
      values.where('hostname'),
      'is not set',
      'which relay of the file this is, or -all for the whole fleet',
    )
  }
  const isThis = (one: FleetNode): boolean => isKnown && isOwn(one, hostname, node)
  const isWanted = ({ id, nodes }: FleetRegion): boolean => id === region || nodes.some(isThis)
  return read.regions
    .filter((one) => isAll || isWanted(one))
    .map((one) =>
      entryOf(one, (relay) => relay.certName ?? (isThis(relay) ? pin(relay.hostname) : undefined)),
    )
}

function entryOf(region: FleetRegion, certNameOf: (relay: FleetNode) => string | undefined): RegionEntry {
  const { id, code, name, latitude, longitude } = region
  const nodes = region.nodes.map((relay): DerpNode => {
    const certName = certNameOf(relay)
    return derpNode({
      Name: relay.name,
      RegionID: id,
      HostName: relay.hostname,
      ...(certName === undefined ? {} : { CertName: certName }),
      ...(relay.ipv4 === undefined ? {} : { IPv4: relay.ipv4 }),
      ...(relay.ipv6 === undefined ? {} : { IPv6: relay.ipv6 }),
      ...(relay.stunPort === undefined ? {} : { STUNPort: relay.stunPort }),
      ...(relay.port === DERP_PORT ? {} : { DERPPort: relay.port }),
      ...(relay.canPort80 === undefined ? {} : { CanPort80: relay.canPort80 }),
    })
  })
  return { id, code, name, latitude, longitude, nodes }
}
