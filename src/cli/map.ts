// `derpfleet map`: prints what to paste so that clients know this relay, or its whole fleet. Everything is taken from the
// options that the relay is served with, the fleet's file among them; flags of its own say what those cannot know.

import { isIP, isIPv4, isIPv6 } from 'node:net'
import { parseCertificate, selfSignedPin } from '#config/certificate-check.ts'
import { certificateFilesIn, readCertificateFile } from '#config/certificate-files.ts'
import { certificateFolder } from '#config/certificate-settings.ts'
import { whyUnread } from '#config/file-text.ts'
import { Findings } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { thisHost } from '#config/host-info.ts'
import { boolean, choice, integer, ipAddress, port, text } from '#config/option-kind.ts'
import { isEveryAddress, resolveListeners, type Listeners } from '#config/listener-settings.ts'
import { derpMapText, MAP_FORMAT_HEADINGS, MapFormat } from '#fleet/derp-map-writer.ts'
import type { Node } from '#fleet/node.ts'
import { OWN_REGION_MAX, OWN_REGION_MIN, type Region } from '#fleet/region.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS, type ServeOptions } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { quickStartPresets } from './quick-start.ts'
import { fleetEntries } from './fleet-entries.ts'
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
    const findings = new Findings()
    const own = new OptionValues(MAP_OPTIONS, flags.values, findings.problems)
    const plain = mergeSettings(flags, io.env)
    const isQuick = plain.values.get('quick-start')
    const presets = isQuick ? quickStartPresets(plain.values.get('state-dir')) : {}
    const raw = isQuick ? mergeSettings(flags, io.env, presets) : plain
    findings.problems.push(...raw.problems)
    if (raw.values.get('help')) {
      io.stdout.write(usage())
      return ExitCode.done
    }
    const entries = mapEntries(own, raw.values, findings, io)
    for (const warning of findings.warnings) io.stderr.write(`note: ${warning}\n`)
    if (findings.problems.length > 0 || entries === undefined) {
      reportProblems(io.stderr, 'derpfleet map: nothing to print', findings.problems)
      return raw.isMisused || own.hasMisfitFrom('flag') ? ExitCode.misused : ExitCode.failed
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
  findings: Findings,
  io: Io,
): readonly Region[] | undefined {
  if (values.get('regions-file') === undefined) {
    if (own.get('all')) findings.complain(own.where('all'), 'has no fleet', 'its file by -regions-file')
    const entry = regionEntry(own, values, findings, io)
    return entry && [entry]
  }
  for (const word of SAID_BY_FILE) {
    if (own.source(word) === undefined) continue
    findings.complain(own.where(word), 'is set beside -regions-file', 'it in that file, or no such file')
  }
  const { isTls } = resolveListeners(values, new Findings())
  const entries = fleetEntries(
    values,
    own.get('all'),
    (hostname) => pin(own, values, { hostname, isTls, io }, findings),
    findings,
  )
  for (const { id } of entries ?? []) warnOfRegion(id, findings)
  return entries
}

function warnOfRegion(id: number, findings: Findings): void {
  if (id >= OWN_REGION_MIN && id <= OWN_REGION_MAX) return
  findings.warn(`region ${id}: Tailscale's policy file takes ${OWN_REGION_MIN} to ${OWN_REGION_MAX}`)
}

function regionEntry(own: MapValues, values: ServeValues, findings: Findings, io: Io): Region | undefined {
  const listeners = resolveListeners(values, new Findings())
  const hostname = values.get('hostname')
  if (hostname === undefined) {
    return findings.complain(values.where('hostname'), 'is not set', OPTIONS.hostname.kind.expected)
  }
  const id = own.get('region-id')
  warnOfRegion(id, findings)
  const ipv4 = own.get('ipv4') ?? implied(hostname, listeners, isIPv4)
  const node: Node = {
    name: `${id}a`,
    hostname,
    certName: pin(own, values, { hostname, isTls: listeners.isTls, io }, findings),
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
function pin(own: MapValues, values: ServeValues, served: Served, findings: Findings): string | undefined {
  const named = own.get('cert')
  if (named === undefined && !served.isTls) {
    findings.warn('the relay speaks plain TCP with these options; clients need TLS in front of it')
    return undefined
  }
  const folder = certificateFolder(values, thisHost(served.io.env))
  const path = named ?? certificateFilesIn(folder, served.hostname).certificatePath
  const file = readCertificateFile(path)
  if ('text' in file) return pinOf(file.text, path, findings)
  if (named !== undefined) return findings.complain(own.where('cert'), `${path} ${whyUnread(file)}`)
  // Without these options the certificate is somebody else's concern: nothing says that it is a file here.
  const isNamed = values.get('certmode') === 'manual' || values.source('certdir') !== undefined
  if (!isNamed) return undefined
  findings.warn(`${path} ${whyUnread(file)}; if the certificate is self-signed, name it with -cert to pin it`)
  return undefined
}

function pinOf(pem: string, path: string, findings: Findings): string | undefined {
  const certificate = parseCertificate(pem)
  if (!('kind' in certificate)) return selfSignedPin(certificate)
  return findings.complain(path, certificate.found, 'PEM (-----BEGIN CERTIFICATE-----)')
}

function usage(): string {
  return `usage: derpfleet map [-format FORMAT] [FLAG VALUE]... [any flag of serve]...\n\n${optionLines(MAP_OPTIONS)}\n${EXIT_CODES}`
}
