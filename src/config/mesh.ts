// The mesh as the operator writes it: whom to mesh with, and whose certificates to trust there. derper's `-mesh-with`
// is read as derper reads it; that a relay may list itself is found out when it is reached.

import { isIPv6 } from 'node:net'
import { readFileText, whyUnread } from './file-text.ts'
import type { Findings } from './findings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { MeshSettings, SiblingSettings } from './settings.ts'

const HTTPS_PORT = 443
const ENTRY_EXPECTED = 'HOST, HOST:PORT or HOST/DIAL, where DIAL is the name or address to dial instead'

/** @param hasKey whether there is a mesh key: without one nobody can be meshed with */
export function resolveMesh(
  values: OptionValues<ServeOptions>,
  hasKey: boolean,
  findings: Findings,
): MeshSettings {
  const entries = values.get('mesh-with') ?? []
  const where = values.where('mesh-with')
  if (entries.length > 0 && !hasKey) {
    findings.complain(where, 'is set without a mesh key', 'a key by -mesh-psk-file or DERPFLEET_MESH_PSK')
  }
  const siblings: SiblingSettings[] = []
  for (const entry of entries) {
    const sibling = parseSibling(entry)
    if (sibling === undefined) findings.complain(where, `${JSON.stringify(entry)} is no relay`, ENTRY_EXPECTED)
    else siblings.push(sibling)
  }
  return { siblings, ca: resolveCa(values, findings) }
}

function parseSibling(entry: string): SiblingSettings | undefined {
  const [hostPort = '', dialHost, ...more] = entry.split('/')
  if (more.length > 0 || dialHost === '') return undefined
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(hostPort) ?? []
  const host = bracketed ?? plain ?? ''
  const port = portText === undefined ? HTTPS_PORT : Number(portText)
  if (!(port >= 1 && port <= 65_535)) return undefined
  if (bracketed === undefined ? !/^[\w.-]+$/.test(host) : !isIPv6(host)) return undefined
  if (dialHost !== undefined && !/^[\w.:-]+$/.test(dialHost)) return undefined
  return { name: hostPort, host, port, dialHost, certName: undefined, isInside: true }
}

function resolveCa(values: OptionValues<ServeOptions>, findings: Findings): string | undefined {
  const path = values.get('mesh-ca-file')
  if (path === undefined) return undefined
  const where = values.where('mesh-ca-file')
  const file = readFileText(path)
  if (!('text' in file)) return findings.complain(where, `${path} ${whyUnread(file)}`, 'a file of certificates, PEM')
  if (file.text.includes('-----BEGIN CERTIFICATE-----')) return file.text
  return findings.complain(where, `${path} has no certificate`, 'a file of certificates, PEM')
}
