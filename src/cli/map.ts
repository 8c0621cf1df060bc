// `derpfleet map`: prints the DERP map entry of this relay or of its fleet, to paste into Headscale, Tailscale's policy
// file or a map. It accepts the options of `serve`, and own options for values that those do not contain. The regions come
// from config/map-regions.ts; this file has the command line and the output.

import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import { mapRegions } from '#config/map-regions.ts'
import { boolean, choice, integer, ipAddress, port, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS, type ServeOptions } from '#config/options.ts'
import { withQuickStartPresets } from '#config/quick-start-presets.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { derpMapText, MAP_FORMAT_HEADINGS, MapFormat } from '#fleet/derp-map-writer.ts'
import { OWN_REGION_MAX, OWN_REGION_MIN, REGION_ID_MAX, type Region } from '#fleet/region.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { MAP_ACTIONS, runMapAction } from './map-files.ts'
import { WATCH_ABOUT, watchMap } from './map-watch.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const MAP_OPTIONS = {
  format: {
    kind: choice(MapFormat.headscale, MapFormat.policy, MapFormat.json),
    fallbackNote: 'all three, with headings',
    about: 'Print the map in this format',
  },
  all: {
    kind: boolean,
    fallback: 'false',
    about:
      'Print all regions of -regions-file, also with options of one relay: the map that its fleet serves',
  },
  'region-id': {
    kind: integer(1, REGION_ID_MAX),
    fallback: `${OWN_REGION_MIN}`,
    about: `Set the region's number; ${OWN_REGION_MIN} to ${OWN_REGION_MAX} are reserved for users' own regions`,
  },
  'region-code': {
    kind: text('a short word', 'CODE'),
    fallback: 'derpfleet',
    about: "Set the region's code, which clients show",
  },
  'region-name': {
    kind: text('a name', 'NAME'),
    fallbackNote: 'the code',
    about: "Set the region's name",
  },
  ipv4: {
    kind: ipAddress(4),
    fallbackNote: 'the address in the options of serve, else clients look the host name up',
    about: "Set the relay's IPv4 address",
  },
  ipv6: {
    kind: ipAddress(6),
    fallbackNote: 'the address in the options of serve, else clients look the host name up',
    about: "Set the relay's IPv6 address",
  },
  'derp-port': {
    kind: port(1),
    fallbackNote: 'the port of -a',
    about: 'Set the port that clients connect to',
  },
  'can-port-80': {
    kind: boolean,
    fallbackNote: 'true if -http-port is 80 and the map has the IPv4 address',
    about: 'Tell clients that they can check for captive portals on port 80',
  },
  cert: {
    kind: text('the path of a certificate', 'FILE'),
    fallbackNote: 'the certificate in -certdir',
    about: 'Pin this certificate if it is self-signed',
  },
} as const satisfies OptionTable

type MapValues = OptionValues<typeof MAP_OPTIONS>

export const map: Command = {
  name: 'map',
  summary: "Print this relay's or its fleet's DERP map entry for Headscale, Tailscale's policy file or a map",
  async run(args, io) {
    if (args[0] === 'watch') return await watchMap(args.slice(1), io)
    if (Object.hasOwn(MAP_ACTIONS, args[0] ?? '')) return runMapAction(args, io, usage)
    const flags = readFlags({ ...OPTIONS, ...MAP_OPTIONS }, args)
    const diagnostics = new Diagnostics()
    const own = new OptionValues(MAP_OPTIONS, flags.values, diagnostics.problems)
    const raw = withQuickStartPresets((presets) => mergeSettings(flags, io.env, presets))
    diagnostics.problems.push(...raw.problems)
    if (raw.values.get('help')) {
      io.stdout.write(usage())
      return ExitCode.done
    }
    const regions = requestedRegions(own, raw.values, diagnostics, io)
    reportWarnings(io.stderr, diagnostics.warnings)
    if (diagnostics.problems.length > 0 || regions === undefined) {
      reportProblems(io.stderr, 'derpfleet map: nothing printed', diagnostics.problems)
      return raw.isMisused || own.hasInvalidFrom('flag') ? ExitCode.misused : ExitCode.failed
    }
    io.stdout.write(mapText(own.get('format'), regions))
    return ExitCode.done
  },
}

/** In one format, the bytes that a fleet serves. */
function mapText(format: MapFormat | undefined, regions: readonly Region[]): string {
  if (format !== undefined) return derpMapText(format, regions)
  return Object.values(MapFormat)
    .map((each) => `# ${MAP_FORMAT_HEADINGS[each]}\n\n${derpMapText(each, regions).trimEnd()}\n`)
    .join('\n')
}

/** The options whose values a fleet's file has. */
const IN_REGIONS_FILE = [
  'region-id',
  'region-code',
  'region-name',
  'ipv4',
  'ipv6',
  'derp-port',
  'can-port-80',
] as const

function requestedRegions(
  own: MapValues,
  values: OptionValues<ServeOptions>,
  diagnostics: Diagnostics,
  io: Io,
): readonly Region[] | undefined {
  const hasFleet = values.get('regions-file') !== undefined
  if (own.get('all') && !hasFleet) {
    diagnostics.addProblem(own.where('all'), 'needs a file of regions', '-regions-file')
  }
  for (const name of IN_REGIONS_FILE) {
    if (!hasFleet || own.source(name) === undefined) continue
    diagnostics.addProblem(own.where(name), 'conflicts with -regions-file', 'the value in that file')
  }
  const request = {
    isWholeFleet: own.get('all'),
    regionId: own.get('region-id'),
    regionCode: own.get('region-code'),
    regionName: own.get('region-name'),
    ipv4: own.get('ipv4'),
    ipv6: own.get('ipv6'),
    derpPort: own.get('derp-port'),
    canPort80: own.get('can-port-80'),
    certificatePath: own.get('cert'),
  }
  return mapRegions(values, request, hostInfo(io.env), diagnostics)
}

function usage(): string {
  const actions = Object.values(MAP_ACTIONS)
  return `usage: derpfleet map [-format FORMAT] [-FLAG VALUE]... [OPTION OF serve]...
${actions.map((action) => `       derpfleet map ${action.usage}\n`).join('')}       derpfleet map watch URL|FILE... [-FLAG VALUE]...

${actions.map((action) => `  ${action.usage.padEnd(12)}${action.about}\n`).join('')}  ${'watch'.padEnd(12)}${WATCH_ABOUT}

${optionLines(MAP_OPTIONS)}
${EXIT_CODES}`
}
