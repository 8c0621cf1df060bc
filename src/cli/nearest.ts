// `derpfleet nearest`: measures the regions of a DERP map as a Tailscale client does, and says which one such a client
// takes as its home and why. The measurement is in probe/nearest.ts, the sentences are in probe/home-verdict.ts.

import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, text } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { packageVersion } from '#ops/version.ts'
import { counterfactual, remarks, verdict } from '#probe/home-verdict.ts'
import { findNearest, type NearestReport, type NearestRequest } from '#probe/nearest.ts'
import { mapTargetOf } from '#probe/target.ts'
import { runCommandLine, type CommandLine } from './command-line.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { nearestJson, nearestTable } from './nearest-table.ts'
import { authoritiesIn, meshKeyIn, timeout } from './probe-options.ts'
import { optionLines } from './usage.ts'

const MAP_EXPECTED = 'the path or URL of a DERP map (JSON or YAML)'

const NEAREST_OPTIONS = {
  map: {
    kind: text(MAP_EXPECTED, 'URL|FILE'),
    about: 'Measure the regions of this DERP map',
  },
  from: {
    kind: text("a region's code or number", 'CODE|NUMBER'),
    fallbackNote: 'no home',
    about: 'Decide for a client whose home is this region now: it stays unless a move gains enough',
  },
  ca: { kind: text('the path of a PEM file', 'FILE'), about: "Trust these authorities besides the system's" },
  insecure: { kind: boolean, fallback: 'false', about: 'Do not verify certificates' },
  'mesh-psk-file': {
    kind: text('the path of a file', 'FILE'),
    about:
      'Log in with the mesh key in this file, so that a relay that admits only known clients admits the login',
  },
  timeout: {
    kind: timeout,
    fallback: '5s',
    about: 'Set the time limit of loading the map, and of each login. Measuring has the limits of clients',
  },
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document instead of a table' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

export const nearest: Command = {
  name: 'nearest',
  summary: 'Measure the regions of a DERP map, and say which one a Tailscale client takes as its home',
  async run(args, io) {
    const texts = { usage, refusal: 'derpfleet nearest: nothing measured' }
    return await runCommandLine(readArguments(args), io, texts, run)
  },
}

interface NearestArguments {
  readonly request: NearestRequest
  readonly mapText: string
  readonly isJson: boolean
}

function readArguments(args: readonly string[]): CommandLine<NearestArguments> {
  const flags = readFlags(NEAREST_OPTIONS, args)
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...flags.problems)
  const values = new OptionValues(NEAREST_OPTIONS, flags.values, diagnostics.problems)
  if (values.get('help')) return 'help'
  const mapText = values.get('map')
  const target = mapText === undefined ? undefined : mapTargetOf(mapText)
  if (target === undefined) {
    const found = mapText === undefined ? 'missing' : `invalid value ${JSON.stringify(mapText)}`
    diagnostics.addProblem('-map', found, MAP_EXPECTED)
  }
  const request = {
    from: values.get('from'),
    timeoutMs: values.get('timeout'),
    authorities: authoritiesIn(values.get('ca'), diagnostics),
    isInsecure: values.get('insecure'),
    meshKey: meshKeyIn(values.get('mesh-psk-file'), diagnostics),
  }
  if (request.meshKey !== undefined && request.isInsecure) {
    diagnostics.addProblem('-mesh-psk-file', 'conflicts with -insecure', 'a relay that is verified')
  }
  if (target === undefined || mapText === undefined || diagnostics.problems.length > 0) {
    return { problems: diagnostics.problems }
  }
  return { request: { target, ...request }, mapText, isJson: values.get('json') }
}

async function run({ request, mapText, isJson }: NearestArguments, io: Io): Promise<number> {
  const report = await findNearest(request)
  if ('unfit' in report) {
    io.stderr.write(`derpfleet nearest: nothing measured: ${report.unfit}\n`)
    return ExitCode.misused
  }
  if ('unread' in report) {
    const { detail, hint } = report.unread
    io.stderr.write(`derpfleet nearest: nothing measured: the map cannot be used: ${detail}\n`)
    if (hint !== undefined) io.stderr.write(`  ${hint}\n`)
    return ExitCode.failed
  }
  const map = withoutSecrets(mapText)
  io.stdout.write(isJson ? nearestJson(report, { map, version: packageVersion() }) : page(report, map))
  return report.decision.home === undefined ? ExitCode.failed : ExitCode.done
}

function page(report: NearestReport, map: string): string {
  const { status, detail } = report.map
  const next = counterfactual(report)
  return [
    `${map}: ${status === 'fail' ? `mistakes in the map: ${detail}` : detail}\n\n`,
    nearestTable(report),
    `\n${verdict(report)}\n`,
    next === undefined ? '' : `${next}\n`,
    ...remarks(report).map((remark) => `\nnote: ${remark}\n`),
  ].join('')
}

function usage(): string {
  return `usage: derpfleet nearest -map URL|FILE [-from REGION] [-FLAG VALUE]...

${optionLines(NEAREST_OPTIONS)}
exit code: 0 a client finds a home, 1 it finds none or the map cannot be used, 2 invalid command line
`
}
