// `derpfleet advise`: where would the fleet's next region help most, and which one is idle? Asks relays for the numbers of all
// regions; what follows from them is fleet/advice.ts. Sends nothing and changes nothing.

import { Diagnostics } from '#config/diagnostics.ts'
import { endpointText, parseEndpoint, type Endpoint } from '#config/endpoint.ts'
import { readFlags } from '#config/flags.ts'
import { boolean, text, type OptionKind } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { advise as adviseFleet } from '#fleet/advice.ts'
import { CLOUD_PLACES, type CloudPlace } from '#fleet/cloud-places.ts'
import { fitPathModel } from '#fleet/path-model.ts'
import { reasonOf } from '#fleet/problem.ts'
import type { RegionNumbers } from '#fleet/region-numbers.ts'
import { mergedReports, readRegionReport, REPORT_BYTES_MAX } from '#fleet/region-report.ts'
import { adviceJson, adviceText, type FleetAdvice } from './advice-page.ts'
import { readCandidates } from './candidates-file.ts'
import { runCommandLine, type CommandLine } from './command-line.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { timeout } from './probe-options.ts'
import { optionLines } from './usage.ts'

/** Any relay answers for the whole fleet; the others are for a fleet of which no relay sees all. */
const ADDRESSES_MAX = 100

const addresses: OptionKind<readonly Endpoint[]> = {
  ...text('addresses of admin ports separated by commas, each HOST:PORT', 'HOST:PORT,...'),
  parse: (given) => {
    const all = given.split(',').map((one) => parseEndpoint(one.trim()))
    const valid = all.filter((one) => one !== undefined)
    return valid.length === all.length && all.length <= ADDRESSES_MAX ? valid : undefined
  },
}

const ADVISE_OPTIONS = {
  addr: {
    kind: addresses,
    fallback: '127.0.0.1:9090',
    about:
      'Ask the admin ports at these addresses. Any relay answers for the whole fleet, as far as it hears the others',
  },
  candidates: {
    kind: text('the path of a file', 'FILE'),
    fallbackNote: 'cities in which clouds have data centres',
    about: 'Choose from the places in this YAML file: a list of { name, latitude, longitude }',
  },
  timeout: { kind: timeout, fallback: '5s', about: 'Set the time limit of each request' },
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document instead of text' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

interface AdviseArguments {
  readonly addresses: readonly Endpoint[]
  readonly candidates: readonly CloudPlace[]
  readonly timeoutMs: number
  readonly isJson: boolean
}

export const advise: Command = {
  name: 'advise',
  summary: "Say where the fleet's next region would help most, and which region is idle",
  async run(args, io) {
    const texts = { usage, refusal: 'derpfleet advise: nothing asked' }
    return await runCommandLine(readArguments(args), io, texts, run)
  },
}

function readArguments(args: readonly string[]): CommandLine<AdviseArguments> {
  const flags = readFlags(ADVISE_OPTIONS, args)
  const { problems } = new Diagnostics()
  problems.push(...flags.problems)
  const values = new OptionValues(ADVISE_OPTIONS, flags.values, problems)
  if (values.get('help')) return 'help'
  const path = values.get('candidates')
  const candidates = path === undefined ? CLOUD_PLACES : readCandidates(path, problems)
  if (problems.length > 0) return { problems }
  return {
    addresses: values.get('addr'),
    candidates,
    timeoutMs: values.get('timeout'),
    isJson: values.get('json'),
  }
}

async function run({ candidates, isJson, ...from }: AdviseArguments, io: Io): Promise<number> {
  const answers = await Promise.all(from.addresses.map((address) => ask(address, from.timeoutMs)))
  const reports = answers.filter((answer) => typeof answer !== 'string')
  for (const [at, answer] of answers.entries()) {
    const address = from.addresses[at]
    if (typeof answer === 'string' && address !== undefined)
      io.stderr.write(`derpfleet advise: ${endpointText(address)}: ${answer}\n`)
  }
  if (reports.length === 0) {
    io.stderr.write('derpfleet advise: no relay has answered\n')
    return ExitCode.failed
  }
  const regions = mergedReports(reports)
  const model = fitPathModel(regions)
  const advice: FleetAdvice = { regions, model, ...adviseFleet(regions, candidates, model) }
  io.stdout.write(isJson ? adviceJson(advice) : adviceText(advice))
  return ExitCode.done
}

/** A text says why there is no answer. */
async function ask({ host, port }: Endpoint, timeoutMs: number): Promise<readonly RegionNumbers[] | string> {
  try {
    const url = `http://${endpointText({ host: host === '' ? 'localhost' : host, port })}/fleet/regions`
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' })
    if (response.status === 404) return 'has no page /fleet/regions; expected a relay with -regions-file'
    if (response.status !== 200) return `answers ${response.status}`
    const read = readRegionReport(await boundedText(response))
    return typeof read === 'string' ? `the answer ${read}` : read
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`
    return reasonOf(error instanceof Error ? (error.cause ?? error) : error)
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > REPORT_BYTES_MAX) throw new Error(`the answer has more than ${REPORT_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function usage(): string {
  return `usage: derpfleet advise [-addr HOST:PORT,...] [-FLAG VALUE]...

${optionLines(ADVISE_OPTIONS)}
exit code: 0 asked and judged, whether or not a place helps, 1 no relay has answered, 2 invalid command line
`
}
