// The regions of a DERP map that the options of `serve` describe: this relay as a region of its own, or regions of the
// fleet's file. What the options do not know, such as the number of a relay's own region, is in the request.

import { isIP, isIPv4, isIPv6 } from 'node:net'
import { isOwnNode } from '#fleet/fleet-position.ts'
import type { Node } from '#fleet/node.ts'
import { fileMap } from '#fleet/live-map.ts'
import { positionProblem } from '#fleet/position-check.ts'
import { isOwnRegion, OWN_REGION_MAX, OWN_REGION_MIN, type Region } from '#fleet/region.ts'
import { parseCertificate, selfSignedPin } from './certificate-check.ts'
import { certificateFilesIn, readCertificateFile } from './certificate-files.ts'
import { certificateFolder } from './certificate-settings.ts'
import { Diagnostics } from './diagnostics.ts'
import { isEveryAddress } from './endpoint.ts'
import { whyUnread } from './file-text.ts'
import type { HostInfo } from './host-info.ts'
import { resolveListeners, type Listeners } from './listener-settings.ts'
import { readFleet } from './mesh-settings.ts'
import type { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'

export interface MapRequest {
  /** All regions of the fleet's file, and not only this relay's. */
  readonly isWholeFleet: boolean
  /** This relay's own region, for a relay without a fleet's file. An undefined field is derived from the options. */
  readonly regionId: number
  readonly regionCode: string
  readonly regionName: string | undefined
  readonly ipv4: string | undefined
  readonly ipv6: string | undefined
  readonly derpPort: number | undefined
  readonly canPort80: boolean | undefined
  /** The certificate to pin if it is self-signed; undefined: the relay's. */
  readonly certificatePath: string | undefined
}

type ServeValues = OptionValues<ServeOptions>

/** Undefined if a problem was added to the diagnostics. */
export function mapRegions(
  values: ServeValues,
  request: MapRequest,
  host: HostInfo,
  diagnostics: Diagnostics,
): readonly Region[] | undefined {
  // Problems of the listeners do not matter here: no relay is started.
  const listeners = resolveListeners(values, new Diagnostics())
  const pinOf = (hostname: string): string | undefined =>
    pinFor({ hostname, isTls: listeners.isTls }, values, { request, host }, diagnostics)
  const path = values.get('regions-file')
  if (path === undefined) return ownRegion(values, request, { listeners, pinOf }, diagnostics)
  const { isWholeFleet } = request
  return fleetRegions(path, values, { isWholeFleet, pinOf }, diagnostics)
}

function warnOfRegion(id: number, diagnostics: Diagnostics): void {
  if (isOwnRegion(id)) return
  const range = `${OWN_REGION_MIN} to ${OWN_REGION_MAX}`
  diagnostics.addWarning(`region ${id}: Tailscale's policy file accepts only regions ${range}`)
}

/** Undefined: clients need no pin for the certificate of this host name. */
type PinOf = (hostname: string) => string | undefined

function ownRegion(
  values: ServeValues,
  request: MapRequest,
  { listeners, pinOf }: { readonly listeners: Listeners; readonly pinOf: PinOf },
  diagnostics: Diagnostics,
): readonly Region[] | undefined {
  const hostname = values.get('hostname')
  if (hostname === undefined) {
    return diagnostics.addProblem(values.where('hostname'), 'is not set', OPTIONS.hostname.kind.expected)
  }
  const { regionId: id, regionCode: code } = request
  warnOfRegion(id, diagnostics)
  const ipv4 = request.ipv4 ?? addressInOptions(hostname, listeners, isIPv4)
  const node: Node = {
    name: `${id}a`,
    hostname,
    certName: pinOf(hostname),
    ipv4,
    ipv6: request.ipv6 ?? addressInOptions(hostname, listeners, isIPv6),
    stunPort: values.get('stun') ? values.get('stun-port') : -1,
    derpPort: request.derpPort ?? listeners.derp.port,
    // Clients use port 80 only of nodes whose IPv4 address is in the map.
    canPort80: request.canPort80 ?? (listeners.http?.port === 80 && ipv4 !== undefined),
  }
  return [{ id, code, name: request.regionName ?? code, nodes: [node] }]
}

/** The relay's address if the options contain it: as the host name, or as the only address that it listens on. */
function addressInOptions(
  hostname: string,
  { derp }: Listeners,
  isOne: (text: string) => boolean,
): string | undefined {
  if (isIP(hostname) !== 0) return isOne(hostname) ? hostname : undefined
  return isOne(derp.host) && !isEveryAddress(derp.host) ? derp.host : undefined
}

function fleetRegions(
  path: string,
  values: ServeValues,
  { isWholeFleet, pinOf }: { readonly isWholeFleet: boolean; readonly pinOf: PinOf },
  diagnostics: Diagnostics,
): readonly Region[] | undefined {
  const where = values.where('regions-file')
  const regions = readFleet(path, where, diagnostics)
  if (regions === undefined) return undefined
  const [hostname = '', node, region] = [values.get('hostname'), values.get('node'), values.get('region')]
  const isKnown = hostname !== '' || node !== undefined || region !== undefined
  const problem = isKnown
    ? positionProblem(path, regions, { hostname, node, region, hasDirectory: false })
    : undefined
  if (problem !== undefined) return diagnostics.addProblem(where, problem.found, problem.expected)
  const all = fileMap(regions)
  const isThis = (one: Node): boolean => isKnown && isOwnNode(one, { hostname, node })
  if (isWholeFleet || !isKnown) {
    for (const one of all.flatMap(({ nodes }) => nodes.filter(isThis)))
      warnOfPin(one, path, pinOf, diagnostics)
    return all
  }
  const wanted = all.filter(({ id, nodes }) => id === region || nodes.some(isThis))
  if (wanted.length === 0) {
    return diagnostics.addProblem(
      where,
      `${path} has this relay only in regions that are off`,
      'one that is on',
    )
  }
  // The pin of this relay's certificate, unless the file says how to verify it.
  const certNameOf = (one: Node): string | undefined =>
    one.certName ?? (isThis(one) ? pinOf(one.hostname) : undefined)
  return wanted.map((one) => withCertNames(one, certNameOf))
}

/** The map of a fleet is made from the file alone, by every relay, and only one relay has this certificate. */
function warnOfPin(one: Node, path: string, pinOf: PinOf, diagnostics: Diagnostics): void {
  const pin = one.certName === undefined ? pinOf(one.hostname) : undefined
  if (pin === undefined) return
  diagnostics.addWarning(
    `clients do not accept the self-signed certificate of ${one.name} without a line in ${path}: pin: ${pin}`,
  )
}

function withCertNames(region: Region, certNameOf: (node: Node) => string | undefined): Region {
  const nodes = region.nodes.map((node) => Object.assign({}, node, { certName: certNameOf(node) }))
  return { ...region, nodes }
}

/** The pin of a self-signed certificate; undefined for a certificate that an authority has signed, or none. */
function pinFor(
  relay: { readonly hostname: string; readonly isTls: boolean },
  values: ServeValues,
  { request, host }: { readonly request: MapRequest; readonly host: HostInfo },
  diagnostics: Diagnostics,
): string | undefined {
  const { certificatePath } = request
  if (certificatePath === undefined && !relay.isTls) {
    diagnostics.addWarning('with these options the relay speaks plain TCP; clients need TLS in front of it')
    return undefined
  }
  const files = certificateFilesIn(certificateFolder(values, host), relay.hostname)
  const path = certificatePath ?? files.certificatePath
  const file = readCertificateFile(path)
  if ('text' in file) return pinOfPem(file.text, path, diagnostics)
  if (certificatePath !== undefined) return diagnostics.addProblem('-cert', `${path} ${whyUnread(file)}`)
  // Without these options nothing says that the certificate is a file on this host.
  const isFileHere = values.get('certmode') === 'manual' || values.source('certdir') !== undefined
  if (!isFileHere) return undefined
  const advice = 'to pin a self-signed certificate, name its file by -cert'
  diagnostics.addWarning(`${path} ${whyUnread(file)}; ${advice}`)
  return undefined
}

function pinOfPem(pem: string, path: string, diagnostics: Diagnostics): string | undefined {
  const certificate = parseCertificate(pem)
  if (!('kind' in certificate)) return selfSignedPin(certificate)
  return diagnostics.addProblem(path, certificate.found, 'PEM (-----BEGIN CERTIFICATE-----)')
}
