// What the commands that call a verb of a running relay have in common: their options, finding the relay, the request, and
// how the answer is printed.

import { Diagnostics } from '#config/diagnostics.ts'
import { readFlags, type Flags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import type { Endpoint } from '#config/endpoint.ts'
import { boolean, endpoint, text as anyText } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS, type ServeOptions } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { readVerbsToken } from '#config/verbs-token.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { reportProblems, reportWarnings } from './report.ts'
import { terminalValue } from './terminal-text.ts'
import { EXIT_CODES, optionLines } from './usage.ts'
import {
  callVerb,
  callVerbAt,
  findRelay,
  readPageAt,
  type VerbRequest,
  type VerbResponse,
} from './verb-client.ts'

/** The options of every such command. */
export const COMMON = {
  json: { kind: boolean, fallback: 'false', about: "Print the relay's answer as JSON" },
  addr: {
    kind: endpoint,
    about:
      "Address of the relay's admin port, instead of its state folder. Needs -token-file, but for what pages of that port show to anybody",
  },
  'token-file': {
    kind: anyText('the path of a file', 'FILE'),
    about: "File with the same token as the relay's -verbs-token-file. Used only with -addr",
  },
} as const satisfies OptionTable

/** By which options of `serve` the relay is found. */
export const FINDING = {
  'state-dir': OPTIONS['state-dir'],
  'key-file': OPTIONS['key-file'],
  config: OPTIONS.config,
} as const

type Body = Readonly<Record<string, unknown>>

export interface VerbCommandParts<T extends OptionTable> {
  readonly name: string
  readonly summary: string
  /** The command's own options. */
  readonly options: T
  /** The option whose value may stand alone in front of all flags: `derpfleet deny KEY`. */
  readonly first?: keyof T & string
  readonly request: (own: OptionValues<T>) => VerbRequest
  /** The answer for people. */
  readonly text: (body: Body, own: OptionValues<T>) => string
  /** A page of the admin port that says the same to anybody, so that -addr needs no token; undefined: there is none. */
  readonly page?: (own: OptionValues<T>) => string | undefined
  /** Of an answer, and undefined where there is none; undefined: the usual ones. */
  readonly exitCode?: (body: Body | undefined, own: OptionValues<T>) => number | undefined
  /** Asks again and again, and prints by itself; undefined: the command asks once. */
  readonly follow?: (ask: () => Promise<VerbResponse>, own: OptionValues<T>) => Promise<number> | undefined
}

export function verbCommand<T extends OptionTable>(parts: VerbCommandParts<T>): Command {
  return {
    name: parts.name,
    summary: parts.summary,
    run: async (args, io) => await run(parts, args, io),
  }
}

async function run<T extends OptionTable>(
  parts: VerbCommandParts<T>,
  args: readonly string[],
  io: Io,
): Promise<number> {
  const { name, options, request, text } = parts
  const flags = readFlags({ ...OPTIONS, ...COMMON, ...options }, withFirst(args, parts.first))
  const problems = [...flags.problems]
  const common = new OptionValues(COMMON, flags.values, problems)
  const own = new OptionValues(options, flags.values, problems)
  const { values, isMisused } = mergeSettings(withoutOwn(flags, options), io.env)
  if (values.get('help')) {
    io.stdout.write(usage(name, options, options[parts.first ?? '']?.kind.placeholder))
    return ExitCode.done
  }
  if (isMisused || problems.length > 0) {
    reportProblems(io.stderr, `derpfleet ${name}: nothing done`, problems)
    return ExitCode.misused
  }
  const target = targetOf(common, io, { name, page: parts.page?.(own) })
  if (target === undefined) return ExitCode.misused
  const ask = async (): Promise<VerbResponse> => await call(target, request(own), { values, env: io.env })
  const shown = async (): Promise<VerbResponse> => terminalValue(await ask())
  const followed = common.get('json') ? undefined : parts.follow?.(shown, own)
  if (followed !== undefined) return await followed
  const response = await ask()
  if ('problem' in response) {
    io.stderr.write(`derpfleet ${name}: ${response.problem}\n`)
    return parts.exitCode?.(undefined, own) ?? ExitCode.failed
  }
  const { status, body } = response
  if (common.get('json')) io.stdout.write(`${JSON.stringify(body, undefined, 2)}\n`)
  else if (status === 200) io.stdout.write(text(terminalValue(body), own))
  else io.stderr.write(`derpfleet ${name}: ${errorText(terminalValue(body))}\n`)
  if (status !== 200) return parts.exitCode?.(undefined, own) ?? ExitCode.failed
  return parts.exitCode?.(body, own) ?? ExitCode.done
}

/** A value that stands alone in front gets the name of its option. */
function withFirst(args: readonly string[], first: string | undefined): readonly string[] {
  const [given] = args
  const isAlone = first !== undefined && given !== undefined && !given.startsWith('-')
  return isAlone ? [`-${first}`, ...args] : args
}

/** For the options of `serve`: a command's own one may have the name of one of those, as -key has. */
function withoutOwn(flags: Flags, options: OptionTable): Flags {
  const others = [...flags.values].filter(([name]) => !Object.hasOwn(options, name))
  return { ...flags, values: new Map(others) }
}

/** How the relay is reached: over its admin port, or over its socket on this host. */
export type VerbTarget =
  | { readonly at: Endpoint; readonly token: string }
  | { readonly at: Endpoint; readonly page: string }
  | 'this host'

/** Undefined after a problem, which is printed. */
export function targetOf(
  common: OptionValues<typeof COMMON>,
  io: Io,
  { name, page }: { readonly name: string; readonly page: string | undefined },
): VerbTarget | undefined {
  const at = common.get('addr')
  const path = common.get('token-file')
  if (at !== undefined && path === undefined && page !== undefined) return { at, page }
  if (at === undefined && path === undefined) return 'this host'
  const diagnostics = new Diagnostics()
  if (at === undefined)
    diagnostics.addProblem('-token-file', 'has no effect without -addr', '-addr HOST:PORT')
  if (path === undefined) diagnostics.addProblem('-addr', 'needs a token', '-token-file FILE')
  const token = readVerbsToken(path, '-token-file', diagnostics)
  reportWarnings(io.stderr, diagnostics.warnings)
  if (at !== undefined && token !== undefined) return { at, token }
  reportProblems(io.stderr, `derpfleet ${name}: nothing done`, diagnostics.problems)
  return undefined
}

async function call(
  target: VerbTarget,
  request: VerbRequest,
  { values, env }: { values: OptionValues<ServeOptions>; env: Io['env'] },
): Promise<VerbResponse> {
  if (target !== 'this host' && 'page' in target)
    return await readPageAt(target.at, target.page, request.timeoutMs)
  if (target !== 'this host') return await callVerbAt(target.at, target.token, request)
  const found = await findRelay(values, hostInfo(env))
  return 'problem' in found ? found : await callVerb(found.folder, request)
}

/** Why the relay refuses, with one line for each problem. */
export function errorText({ error, problems }: Body): string {
  const lines = Array.isArray(problems) ? problems.map((problem) => `\n  ${String(problem)}`) : []
  const reason = typeof error === 'string' ? error : 'the relay refuses without a reason'
  return `${reason}${lines.join('')}`
}

/** @param first stands for the value that may stand alone in front */
function usage(name: string, options: OptionTable, first: string | undefined): string {
  const alone = first === undefined ? '' : ` [${first}]`
  return `usage: derpfleet ${name}${alone} [-FLAG VALUE]... [OPTION OF serve]...

The relay is found by its state folder. Without options, it is the only one that runs on this host
with a default state folder. With -addr, it may run on another host.

${optionLines({ ...options, ...COMMON, ...FINDING })}
${EXIT_CODES}`
}
