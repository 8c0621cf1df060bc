// `derpfleet doctor`: finds out what is wrong with a relay, its host, its fleet and its map, and prints what to do. The
// checks are in doctor/; how a running relay is asked is here.

import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import { boolean } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { examine, type AskedRelay, type DoctorRequest } from '#doctor/doctor.ts'
import { countsOf, jsonText } from '#doctor/report.ts'
import type { OutsideView } from '#fleet/look.ts'
import type { RelayFacts } from '#fleet/relay-facts.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { packageVersion } from '#ops/version.ts'
import { parseTarget, TARGET_EXPECTED } from '#probe/target.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { doctorText } from './doctor-table.ts'
import { authoritiesIn, PROBE_OPTIONS, splitArguments } from './probe-options.ts'
import { coloured, isColourful, plain } from './probe-table.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'
import { callVerb, callVerbAt, findRelay, type VerbRequest, type VerbResponse } from './verb-client.ts'
import { COMMON, FINDING, targetOf, type VerbTarget } from './verb-command.ts'

/** The relay asks its admission back ends for five seconds, and siblings twice for nine. */
const ANSWER_TIMEOUT_MS = 25_000

const OWN = {
  ca: PROBE_OPTIONS.ca,
  timeout: PROBE_OPTIONS.timeout,
  json: PROBE_OPTIONS.json,
  verbose: { kind: boolean, fallback: 'false', about: 'Print checks that passed or were skipped, too' },
} as const satisfies OptionTable

const ALL = { ...OPTIONS, ...COMMON, ...OWN }

export const doctor: Command = {
  name: 'doctor',
  summary: 'Find what is wrong with a relay, its host, its fleet and its map',
  async run(args, io) {
    const { targetText = '', rest } = splitArguments(args, ALL)
    const flags = readFlags(ALL, rest)
    const diagnostics = new Diagnostics()
    diagnostics.problems.push(...flags.problems)
    const common = new OptionValues(COMMON, flags.values, diagnostics.problems)
    const own = new OptionValues(OWN, flags.values, diagnostics.problems)
    const { values, isMisused } = mergeSettings(flags, io.env)
    if (values.get('help')) {
      io.stdout.write(usage())
      return ExitCode.done
    }
    const target = targetText === '' ? undefined : parseTarget(targetText)
    if (targetText !== '' && target === undefined)
      diagnostics.addProblem('target', `invalid value ${JSON.stringify(targetText)}`, TARGET_EXPECTED)
    const settings = {
      timeoutMs: own.get('timeout'),
      families: [4, 6] as const,
      stunPort: undefined,
      httpPort: undefined,
      meshKey: undefined,
      authorities: authoritiesIn(own.get('ca'), diagnostics),
      isInsecure: false,
      pin: undefined,
      keys: [],
      usesWebSocket: true,
    }
    if (isMisused || diagnostics.problems.length > 0) {
      reportProblems(io.stderr, 'derpfleet doctor: nothing examined', diagnostics.problems)
      return ExitCode.misused
    }
    const at = targetOf(common, io, { name: 'doctor', page: undefined })
    if (at === undefined) return ExitCode.misused
    const relay = await askedRelay(at, target === undefined, async () => {
      const found = await findRelay(values, hostInfo(io.env))
      return 'problem' in found ? found : async (verb) => await callVerb(found.folder, verb)
    })
    const request = { relay, target, targetText: withoutSecrets(targetText), settings }
    return await print(request, { isJson: own.get('json'), isVerbose: own.get('verbose') }, io)
  },
}

const CHECKUP = { method: 'GET', verb: 'checkup', timeoutMs: ANSWER_TIMEOUT_MS } as const
const OUTSIDE = { method: 'POST', verb: 'outside', timeoutMs: ANSWER_TIMEOUT_MS } as const

type CallRelay = (verb: VerbRequest) => Promise<VerbResponse>
type LocalRelay = CallRelay | { readonly problem: string }

/** @param isWanted the relay is what is examined; else what is named by the target, and the relay only helps */
async function askedRelay(
  at: VerbTarget,
  isWanted: boolean,
  local: () => Promise<LocalRelay>,
): Promise<AskedRelay> {
  if (at !== 'this host' && 'token' in at) {
    return asked(false, async (verb) => await callVerbAt(at.at, at.token, verb))
  }
  const found = await local()
  if (typeof found !== 'function') return { reason: found.problem, isWanted }
  return asked(true, found)
}

function asked(isOnHost: boolean, call: CallRelay): AskedRelay {
  return {
    isOnHost,
    facts: async () => factsIn(await call(CHECKUP)),
    outside: async () => viewsIn(await call(OUTSIDE)),
  }
}

type Refusal = { readonly problem: string }

const FOREIGN: Refusal = { problem: 'what answers is no relay: the answer has another form' }
/** Parts of the facts that every version has. */
const FACT_LISTS = ['checks', 'siblings'] as const
const FACT_OBJECTS = ['listeners', 'fleet', 'host', 'stateFolder', 'admission'] as const

function viewsIn(response: VerbResponse): readonly OutsideView[] | Refusal {
  const refusal = refusalOf(response)
  if (refusal !== undefined || !('body' in response)) return refusal ?? FOREIGN
  const { views } = response.body
  return Array.isArray(views) ? (views as readonly OutsideView[]) : FOREIGN
}

function factsIn(response: VerbResponse): RelayFacts | Refusal {
  const refusal = refusalOf(response)
  if (refusal !== undefined || !('body' in response)) return refusal ?? FOREIGN
  const { body } = response
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null
  const isWhole =
    typeof body['key'] === 'string' &&
    FACT_LISTS.every((name) => Array.isArray(body[name])) &&
    FACT_OBJECTS.every((name) => isObject(body[name]))
  return isWhole ? (body as unknown as RelayFacts) : FOREIGN
}

/** Undefined if the relay has answered. A version before these verbs answers that they are unknown. */
function refusalOf(response: VerbResponse): Refusal | undefined {
  if ('problem' in response) return response
  const { status, body } = response
  if (status === 200) return undefined
  return { problem: typeof body['error'] === 'string' ? body['error'] : `the relay answers ${status}` }
}

async function print(
  request: DoctorRequest,
  { isJson, isVerbose }: { readonly isJson: boolean; readonly isVerbose: boolean },
  io: Io,
): Promise<number> {
  const report = await examine(request)
  const paint = isColourful(io) ? coloured : plain
  io.stdout.write(isJson ? jsonText(report, packageVersion()) : doctorText(report, { isVerbose, paint }))
  return countsOf(report).fail === 0 ? ExitCode.done : ExitCode.failed
}

function usage(): string {
  return `usage: derpfleet doctor [TARGET] [-FLAG VALUE]... [OPTION OF serve]...

Without TARGET, the relay on this host, or the one of -addr, is examined. TARGET is ${TARGET_EXPECTED};
it is examined as a client sees it, and compared with the relay if there is one.

${optionLines({ ...COMMON, ...OWN, ...FINDING })}
${EXIT_CODES}`
}
