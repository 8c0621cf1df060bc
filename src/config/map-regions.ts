// The fleet's file as regions of a DERP map: those that this relay is of, or all. What clients are told of a relay is
// what the file says; flags that would say it otherwise are refused.

import type { Diagnostics } from './diagnostics.ts'
import { readFleet } from './mesh-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { isOwnNode } from '#fleet/fleet-position.ts'
import type { Node } from '#fleet/node.ts'
import { positionProblem } from '#fleet/position-check.ts'
import type { Region } from '#fleet/region.ts'

/** Pins this relay's certificate, where the file does not say how to verify it; undefined: it needs no pin. */
export type Pin = (hostname: string) => string | undefined

/** Undefined after a complaint. @param isAll all regions, and not those of this relay alone */
export function fleetEntries(
  values: OptionValues<ServeOptions>,
  isAll: boolean,
  pin: Pin,
  diagnostics: Diagnostics,
): readonly Region[] | undefined {
  const path = values.get('regions-file') ?? ''
  const where = values.where('regions-file')
  const regions = readFleet(path, where, diagnostics)
  if (regions === undefined) return undefined
  const [hostname = '', node, region] = [values.get('hostname'), values.get('node'), values.get('region')]
  const isKnown = hostname !== '' || node !== undefined || region !== undefined
  const problem = isKnown
    ? positionProblem(path, regions, { hostname, node, region, hasDirectory: false })
    : undefined
  if (problem !== undefined) return diagnostics.addProblem(where, problem.found, problem.expected)
  if (!isKnown && !isAll) {
    return diagnostics.addProblem(
      values.where('hostname'),
      'is not set',
      'which relay of the file this is, or -all for the whole fleet',
    )
  }
  const isThis = (one: Node): boolean => isKnown && isOwnNode(one, { hostname, node })
  const isWanted = ({ id, nodes }: Region): boolean => id === region || nodes.some(isThis)
  const certNameOf = (one: Node): string | undefined =>
    one.certName ?? (isThis(one) ? pin(one.hostname) : undefined)
  return regions.filter((one) => isAll || isWanted(one)).map((one) => withCertNames(one, certNameOf))
}

function withCertNames(region: Region, certNameOf: (node: Node) => string | undefined): Region {
  const nodes = region.nodes.map((node) => Object.assign({}, node, { certName: certNameOf(node) }))
  return { ...region, nodes }
}
