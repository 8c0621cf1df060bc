// The mesh as the operator writes it: whom to mesh with, and whose certificates to trust there. derper's `-mesh-with`
// is read as derper reads it; that a relay may list itself is found out when it is reached.

import { isIPv6 } from 'node:net'
import { readAuthoritiesFile } from './certificate-files.ts'
import { readFileText, whyUnread } from './file-text.ts'
import { parseUntypedKey } from '#protocol/node-key.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { positionProblem } from '#fleet/position-check.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { listedSibling, type Sibling } from '#fleet/sibling.ts'
import type { MeshSettings, NatsSettings } from './settings.ts'

const HTTPS_PORT = 443
const EXPECTED = {
  'mesh-with': 'HOST, HOST:PORT or HOST/DIAL, where DIAL is the name or address to dial instead',
  'mesh-dns': 'NAME or NAME:PORT',
  'nats-url': 'nats://HOST:PORT or tls://HOST:PORT',
}

const CREDENTIALS_EXPECTED = "a credentials file with a user's JWT and seed, as nsc writes it"

/** @param hasKey whether there is a mesh key: without one nobody can be meshed with */
export function resolveMesh(
  values: OptionValues<ServeOptions>,
  hasKey: boolean,
  diagnostics: Diagnostics,
): MeshSettings {
  for (const word of ['mesh-with', 'mesh-dns', 'regions-file'] as const) {
    const value = values.get(word)
    if (hasKey || value === undefined || value.length === 0) continue
    diagnostics.addProblem(values.where(word), 'needs a mesh key', '-mesh-psk-file or DERPFLEET_MESH_PSK')
  }
  return {
    siblings: parsedList(values, 'mesh-with', parseSibling, diagnostics),
    dnsNames: parsedList(values, 'mesh-dns', parseDnsName, diagnostics),
    ...resolveRegions(values, diagnostics),
    nats: resolveNats(values, diagnostics),
    rebalancePerSecond: values.get('rebalance'),
    region: values.get('region'),
    node: values.get('node'),
    ca: resolveAuthorities(values, 'mesh-ca-file', diagnostics),
  }
}

function parsedList<T>(
  values: OptionValues<ServeOptions>,
  word: 'mesh-with' | 'mesh-dns',
  parse: (entry: string) => T | undefined,
  diagnostics: Diagnostics,
): readonly T[] {
  return (values.get(word) ?? []).flatMap((entry) => {
    const parsed = parse(entry)
    if (parsed !== undefined) return [parsed]
    diagnostics.addProblem(values.where(word), `invalid value ${JSON.stringify(entry)}`, EXPECTED[word])
    return []
  })
}

function resolveRegions(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): { regionsPath: string | undefined; regions: readonly Region[] } {
  const regionsPath = values.get('regions-file')
  if (regionsPath === undefined) return { regionsPath, regions: [] }
  const where = values.where('regions-file')
  const file = readFileText(regionsPath)
  if (!('text' in file)) {
    diagnostics.addProblem(where, `${regionsPath} ${whyUnread(file)}`, 'a YAML file of regions')
    return { regionsPath, regions: [] }
  }
  const read = readRegionsFile(regionsPath, file.text)
  if ('problems' in read) {
    diagnostics.problems.push(...read.problems)
    return { regionsPath, regions: [] }
  }
  const own = {
    hostname: values.get('hostname') ?? '',
    node: values.get('node'),
    region: values.get('region'),
    hasDirectory: (values.get('nats-url') ?? []).length > 0,
  }
  const problem = positionProblem(regionsPath, read.regions, own)
  if (problem !== undefined) diagnostics.addProblem(where, problem.found, problem.expected)
  return { regionsPath, regions: read.regions }
}

function parseDnsName(entry: string): { name: string; port: number } | undefined {
  const [, name = '', portText] = /^([\w.-]+)(?::(\d+))?$/.exec(entry) ?? []
  const port = portText === undefined ? HTTPS_PORT : Number(portText)
  return name !== '' && port >= 1 && port <= 65_535 ? { name, port } : undefined
}

function parseSibling(entry: string): Sibling | undefined {
  const [hostPort = '', dialHost, ...more] = entry.split('/')
  if (more.length > 0 || dialHost === '') return undefined
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(hostPort) ?? []
  const host = bracketed ?? plain ?? ''
  const port = portText === undefined ? HTTPS_PORT : Number(portText)
  if (!(port >= 1 && port <= 65_535)) return undefined
  if (bracketed === undefined ? !/^[\w.-]+$/.test(host) : !isIPv6(host)) return undefined
  if (dialHost !== undefined && !/^[\w.:-]+$/.test(dialHost)) return undefined
  return listedSibling(entry, host, port, dialHost)
}

function resolveNats(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): NatsSettings | undefined {
  const servers = values.get('nats-url') ?? []
  if (servers.length === 0) return undefined
  for (const server of servers) {
    if (/^(nats|tls):\/\/[\w.-]+(:\d+)?$|^(nats|tls):\/\/\[[\da-f:]+\](:\d+)?$/i.test(server)) continue
    diagnostics.addProblem(
      values.where('nats-url'),
      `invalid value ${JSON.stringify(server)}`,
      EXPECTED['nats-url'],
    )
  }
  if (values.get('regions-file') === undefined) {
    diagnostics.addProblem(values.where('nats-url'), 'needs a file of regions', '-regions-file')
  }
  const secret = resolveNatsSecret(values, diagnostics)
  if (secret === undefined) return undefined
  return {
    servers,
    credentials: resolveCredentials(values, diagnostics),
    ca: resolveAuthorities(values, 'nats-ca-file', diagnostics),
    secret,
  }
}

function resolveCredentials(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): NatsSettings['credentials'] {
  const path = values.get('nats-credentials-file')
  const text = fileText(values, 'nats-credentials-file', CREDENTIALS_EXPECTED, diagnostics)
  if (path === undefined || text === undefined) return undefined
  if (isNatsCredentials(text)) return { path, text }
  const where = values.where('nats-credentials-file')
  return diagnostics.addProblem(where, `${path} contains no credentials`, CREDENTIALS_EXPECTED)
}

/** Whether a NATS client can log in with it. */
export function isNatsCredentials(text: string): boolean {
  return /BEGIN NATS USER JWT[^]*BEGIN USER NKEY SEED/.test(text)
}

function resolveNatsSecret(
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
): Uint8Array | undefined {
  const expected = 'a file with 64 hex digits'
  const where = values.where('nats-secret-file')
  if (values.get('nats-secret-file') === undefined)
    return diagnostics.addProblem(where, 'is not set', expected)
  const secretText = fileText(values, 'nats-secret-file', expected, diagnostics)
  if (secretText === undefined) return undefined
  const secret = parseUntypedKey(secretText.trim())
  if (secret !== undefined) return secret
  return diagnostics.addProblem(where, `${values.get('nats-secret-file')} contains no such secret`, expected)
}

/** The text of a file that has to be there if it is named. */
function fileText(
  values: OptionValues<ServeOptions>,
  word: 'nats-credentials-file' | 'nats-secret-file',
  expected: string,
  diagnostics: Diagnostics,
): string | undefined {
  const path = values.get(word)
  if (path === undefined) return undefined
  const file = readFileText(path)
  if ('text' in file) return file.text
  return diagnostics.addProblem(values.where(word), `${path} ${whyUnread(file)}`, expected)
}

function resolveAuthorities(
  values: OptionValues<ServeOptions>,
  option: 'mesh-ca-file' | 'nats-ca-file',
  diagnostics: Diagnostics,
): string | undefined {
  const path = values.get(option)
  if (path === undefined) return undefined
  const read = readAuthoritiesFile(path)
  if ('pem' in read) return read.pem
  return diagnostics.addProblem(values.where(option), read.found, 'a PEM file of certificates')
}
