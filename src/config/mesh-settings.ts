// Resolves the mesh: the siblings that options, DNS names and the fleet's file name, and the authorities of their
// certificates. `-mesh-with` is read as derper reads it. It may list this relay, too: the relay recognises itself
// when it connects.

import { isIPv6 } from 'node:net'
import { DERP_PORT } from '#protocol/default-ports.ts'
import { positionProblem } from '#fleet/position-check.ts'
import { MAP_KEY_EXPECTED, mapKeyProblem } from '#fleet/map-document.ts'
import { problemText } from '#fleet/problem.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { listedSibling, type Sibling } from '#fleet/sibling.ts'
import { resolveAuthorities } from './certificate-settings.ts'
import { readFileText, whyUnread } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { resolveNats } from './nats-settings.ts'
import { warnIfShared } from './secret-mode.ts'
import type { MeshSettings } from './settings.ts'

const EXPECTED = {
  'mesh-with': 'HOST, HOST:PORT or HOST/DIAL, where DIAL is the name or address to dial instead',
  'mesh-dns': 'NAME or NAME:PORT',
}

/** @param hasKey whether there is a mesh key, which every mesh needs */
export function resolveMesh(
  values: OptionValues<ServeOptions>,
  hasKey: boolean,
  diagnostics: Diagnostics,
): MeshSettings {
  for (const option of ['mesh-with', 'mesh-dns', 'regions-file'] as const) {
    const value = values.get(option)
    if (hasKey || value === undefined || value.length === 0) continue
    diagnostics.addProblem(values.where(option), 'needs a mesh key', '-mesh-psk-file or DERPFLEET_MESH_PSK')
  }
  return {
    siblings: parsedList(values, 'mesh-with', parseSibling, diagnostics),
    dnsNames: parsedList(values, 'mesh-dns', parseDnsName, diagnostics),
    ...resolveRegions(values, diagnostics),
    mapKey: resolveMapKey(values, diagnostics),
    mapHoldDowns: { removalMs: values.get('map-removal'), returnMs: values.get('map-return') },
    isMapServed: values.get('serve-map'),
    stateEveryMs: values.get('state-interval'),
    nats: resolveNats(values, diagnostics),
    rebalancePerSecond: values.get('rebalance'),
    region: values.get('region'),
    node: values.get('node'),
    ca: resolveAuthorities(values, 'mesh-ca-file', diagnostics),
  }
}

function parsedList<T>(
  values: OptionValues<ServeOptions>,
  option: 'mesh-with' | 'mesh-dns',
  parse: (entry: string) => T | undefined,
  diagnostics: Diagnostics,
): readonly T[] {
  return (values.get(option) ?? []).flatMap((entry) => {
    const parsed = parse(entry)
    if (parsed !== undefined) return [parsed]
    diagnostics.addProblem(values.where(option), `invalid value ${JSON.stringify(entry)}`, EXPECTED[option])
    return []
  })
}

function resolveMapKey(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): string | undefined {
  const path = values.get('map-key-file')
  if (path === undefined) return undefined
  const where = values.where('map-key-file')
  const file = readFileText(path)
  if (!('text' in file)) return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, MAP_KEY_EXPECTED)
  const problem = mapKeyProblem(file.text)
  if (problem !== undefined) return diagnostics.addProblem(where, `${path} ${problem}`, MAP_KEY_EXPECTED)
  warnIfShared(path, file.mode, diagnostics)
  return file.text
}

function resolveRegions(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): { regionsPath: string | undefined; regions: readonly Region[] } {
  const regionsPath = values.get('regions-file')
  if (regionsPath === undefined) return { regionsPath, regions: [] }
  const where = values.where('regions-file')
  const regions = readFleet(regionsPath, where, diagnostics)
  if (regions === undefined) return { regionsPath, regions: [] }
  const own = {
    hostname: values.get('hostname') ?? '',
    node: values.get('node'),
    region: values.get('region'),
    hasDirectory: (values.get('nats-url') ?? []).length > 0,
  }
  const problem = positionProblem(regionsPath, regions, own)
  if (problem !== undefined) diagnostics.addProblem(where, problem.found, problem.expected)
  return { regionsPath, regions }
}

/**
 * The regions of the fleet's file; undefined after a problem.
 * @param where the option that names the file, for messages
 */
export function readFleet(
  path: string,
  where: string,
  diagnostics: Diagnostics,
): readonly Region[] | undefined {
  const file = readFileText(path)
  if (!('text' in file)) {
    return diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, 'a YAML file of regions')
  }
  const read = readRegionsFile(path, file.text)
  for (const warning of read.warnings) diagnostics.addWarning(problemText(warning))
  if ('regions' in read) return read.regions
  diagnostics.problems.push(...read.problems)
  return undefined
}

function parseDnsName(entry: string): { name: string; port: number } | undefined {
  const [, name = '', portText] = /^([\w.-]+)(?::(\d+))?$/.exec(entry) ?? []
  const port = portText === undefined ? DERP_PORT : Number(portText)
  return name !== '' && port >= 1 && port <= 65_535 ? { name, port } : undefined
}

function parseSibling(entry: string): Sibling | undefined {
  const [hostPort = '', dialHost, ...more] = entry.split('/')
  if (more.length > 0 || dialHost === '') return undefined
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(hostPort) ?? []
  const host = bracketed ?? plain ?? ''
  const port = portText === undefined ? DERP_PORT : Number(portText)
  if (!(port >= 1 && port <= 65_535)) return undefined
  if (bracketed === undefined ? !/^[\w.-]+$/.test(host) : !isIPv6(host)) return undefined
  if (dialHost !== undefined && !/^[\w.:-]+$/.test(dialHost)) return undefined
  return listedSibling(entry, host, port, dialHost)
}
