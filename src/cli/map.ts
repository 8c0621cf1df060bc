// `derpfleet map`: prints what to paste so that clients know this relay, or its whole fleet. Everything is taken from the
// options that the relay is served with, the fleet's file among them; flags of its own say what those cannot know.

import { isIP, isIPv4, isIPv6 } from 'node:net'
import { parseCertificate, selfSignedPin } from '#config/certificate-check.ts'
import { certificateFilesIn, readCertificateFile } from '#config/certificate-files.ts'
import { certificateFolder } from '#config/certificate-settings.ts'
import { whyUnread } from '#config/file-text.ts'
import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import { boolean, choice, integer, ipAddress, port, text } from '#config/option-kind.ts'
import { isEveryAddress } from '#config/endpoint.ts'
import { resolveListeners, type Listeners } from '#config/listener-settings.ts'
import { derpMapText, MAP_FORMAT_HEADINGS, MapFormat } from '#fleet/derp-map-writer.ts'
import type { Node } from '#fleet/node.ts'
import { OWN_REGION_MAX, OWN_REGION_MIN, type Region } from '#fleet/region.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS, type ServeOptions } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { quickStartPresets } from './quick-start.ts'
import { fleetEntries } from '#config/map-regions.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const MAP_OPTIONS = {
  format: {
    kind: choice(MapFormat.headscale, MapFormat.policy, MapFormat.json),
    fallbackNote: 'all three, with headings',
    about: 'The form to print',
  },
  all: {
    kind: boolean,
    fallback: 'false',
    about: 'With -regions-file: print all its regions, and not those of this relay alone',
  },
  'region-id': {
    kind: integer(1, 65_535),
    fallback: `${OWN_REGION_MIN}`,
    about: `The region's number; ${OWN_REGION_MIN} to ${OWN_REGION_MAX} are for users' own`,
  },
  'region-code': {
    kind: text('a short word'),
    fallback: 'derpfleet',
    about: "The region's code, as clients show it",
  },
  'region-name': { kind: text('a name'), fallbackNote: 'the code', about: "The region's name" },
  ipv4: { kind: ipAddress(4), about: "The relay's address; without it, clients look its name up" },
  ipv6: { kind: ipAddress(6), about: "The relay's address; without it, clients look its name up" },
  'derp-port': { kind: port(1), fallbackNote: "-a's", about: 'The port that clients reach it by' },
  'can-port-80': {
    kind: boolean,
    fallbackNote: 'whether -http-port is 80',
    about: 'Clients may look for captive portals at port 80',
  },
  cert: {
    kind: text('the path of a certificate', 'FILE'),
    fallbackNote: "-certdir's",
    about: 'Pin this certificate if it is self-signed',
  },
} as const satisfies OptionTable

type MapValues = OptionValues<typeof MAP_OPTIONS>
type ServeValues = OptionValues<ServeOptions>

export const map: Command = {
  name: 'map',
  summary: "Print this relay's or its fleet's entry for Headscale, Tailscale's policy file or a DERP map",
  async run(args, io) {
    const flags = readFlags({ ...OPTIONS, ...MAP_OPTIONS }, args)
    const diagnostics = new Diagnostics()
    const own = new OptionValues(MAP_OPTIONS, flags.values, diagnostics.problems)
    const plain = mergeSettings(flags, io.env)
    const isQuick = plain.values.get('quick-start')
    const presets = isQuick ? quickStartPresets(plain.values.get('state-dir')) : {}
    const raw = isQuick ? mergeSettings(flags, io.env, presets) : plain
    diagnostics.problems.push(...raw.problems)
    if (raw.values.get('help')) {
      io.stdout.write(usage())
      return ExitCode.done
    }
    const entries = mapEntries(own, raw.values, diagnostics, io)
    for (const warning of diagnostics.warnings) io.stderr.write(`note: ${warning}\n`)
    if (diagnostics.problems.length > 0 || entries === undefined) {
      reportProblems(io.stderr, 'derpfleet map: nothing to print', diagnostics.problems)
      return raw.isMisused || own.hasInvalidFrom('flag') ? ExitCode.misused : ExitCode.failed
    }
    io.stdout.write(mapText(own.get('format'), entries))
    return ExitCode.done
  },
}

function mapText(format: MapFormat | undefined, entries: readonly Region[]): string {
  if (format !== undefined) return derpMapText(format, entries)
  return Object.values(MapFormat)
    .map((each) => `# ${MAP_FORMAT_HEADINGS[each]}\n\n${derpMapText(each, entries)}`)
    .join('\n')
}

/** What the fleet's file says, where there is one, is not said by flags. */
const SAID_BY_FILE = [
  'region-id',
  'region-code',
  'region-name',
  'ipv4',
  'ipv6',
  'derp-port',
  'can-port-80',
] as const

function mapEntries(
  own: MapValues,
  values: ServeValues,
  diagnostics: Diagnostics,
  io: Io,
): readonly Region[] | undefined {
  if (values.get('regions-file') === undefined) {
    if (own.get('all')) diagnostics.addProblem(own.where('all'), 'has no fleet', 'its file by -regions-file')
    const entry = regionEntry(own, values, diagnostics, io)
    return entry && [entry]
  }
  for (const word of SAID_BY_FILE) {
    if (own.source(word) === undefined) continue
    diagnostics.addProblem(own.where(word), 'is set beside -regions-file', 'it in that file, or no such file')
  }
  const { isTls } = resolveListeners(values, new Diagnostics())
  const entries = fleetEntries(
    values,
    own.get('all'),
    (hostname) => pin(own, values, { hostname, isTls, io }, diagnostics),
    diagnostics,
  )
  for (const { id } of entries ?? []) warnOfRegion(id, diagnostics)
  return entries
}

function warnOfRegion(id: number, diagnostics: Diagnostics): void {
  if (id >= OWN_REGION_MIN && id <= OWN_REGION_MAX) return
  diagnostics.addWarning(`region ${id}: Tailscale's policy file takes ${OWN_REGION_MIN} to ${OWN_REGION_MAX}`)
}

function regionEntry(
  own: MapValues,
  values: ServeValues,
  diagnostics: Diagnostics,
  io: Io,
): Region | undefined {
  const listeners = resolveListeners(values, new Diagnostics())
  const hostname = values.get('hostname')
  if (hostname === undefined) {
    return diagnostics.addProblem(values.where('hostname'), 'is not set', OPTIONS.hostname.kind.expected)
  }
  const id = own.get('region-id')
  warnOfRegion(id, diagnostics)
  const ipv4 = own.get('ipv4') ?? implied(hostname, listeners, isIPv4)
  const node: Node = {
    name: `${id}a`,
    hostname,
    certName: pin(own, values, { hostname, isTls: listeners.isTls, io }, diagnostics),
    ipv4,
    ipv6: own.get('ipv6') ?? implied(hostname, listeners, isIPv6),
    stunPort: values.get('stun') ? values.get('stun-port') : -1,
    derpPort: own.get('derp-port') ?? listeners.derp.port,
    // Clients look there only for nodes whose IPv4 address the map has.
    canPort80: own.get('can-port-80') ?? (listeners.http?.port === 80 && ipv4 !== undefined),
  }
  const code = own.get('region-code')
  return { id, code, name: own.get('region-name') ?? code, nodes: [node] }
}

/** An address that the options name anyway: the host name is one, or the relay listens on that one alone. */
function implied(
  hostname: string,
  { derp }: Listeners,
  isOne: (text: string) => boolean,
): string | undefined {
  if (isIP(hostname) !== 0) return isOne(hostname) ? hostname : undefined
  return isOne(derp.host) && !isEveryAddress(derp.host) ? derp.host : undefined
}

interface Served {
  readonly hostname: string
  readonly isTls: boolean
  readonly io: Io
}

/** How clients check a certificate that no authority signed; undefined for all others. */
function pin(
  own: MapValues,
  values: ServeValues,
  served: Served,
  diagnostics: Diagnostics,
): string | undefined {
  const named = own.get('cert')
  if (named === undefined && !served.isTls) {
    diagnostics.addWarning('the relay speaks plain TCP with these options; clients need TLS in front of it')
    return undefined
  }
  const folder = certificateFolder(values, hostInfo(served.io.env))
  const path = named ?? certificateFilesIn(folder, served.hostname).certificatePath
  const file = readCertificateFile(path)
  if ('text' in file) return pinOf(file.text, path, diagnostics)
  if (named !== undefined) return diagnostics.addProblem(own.where('cert'), `${path} ${whyUnread(file)}`)
  // Without these options the certificate is somebody else's concern: nothing says that it is a file here.
  const isNamed = values.get('certmode') === 'manual' || values.source('certdir') !== undefined
  if (!isNamed) return undefined
  diagnostics.addWarning(
    `${path} ${whyUnread(file)}; if the certificate is self-signed, name it with -cert to pin it`,
  )
  return undefined
}

function pinOf(pem: string, path: string, diagnostics: Diagnostics): string | undefined {
  const certificate = parseCertificate(pem)
  if (!('kind' in certificate)) return selfSignedPin(certificate)
  return diagnostics.addProblem(path, certificate.found, 'PEM (-----BEGIN CERTIFICATE-----)')
}

function usage(): string {
  return `usage: derpfleet map [-format FORMAT] [FLAG VALUE]... [any flag of serve]...\n\n${optionLines(MAP_OPTIONS)}\n${EXIT_CODES}`
}
