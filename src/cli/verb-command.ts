// What the commands that call a verb of a running relay have in common: their options, finding the relay, the request, and
// how the answer is printed.

import { readFlags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import { boolean } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'
import { callVerb, findRelay, type VerbRequest } from './verb-client.ts'

/** The options of every such command. */
const COMMON = {
  json: { kind: boolean, fallback: 'false', about: "Print the relay's answer as JSON" },
} as const satisfies OptionTable

/** By which options of `serve` the relay is found. */
const FINDING = {
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
  readonly request: (own: OptionValues<T>) => VerbRequest
  /** The answer for people. */
  readonly text: (body: Body) => string
}

export function verbCommand<T extends OptionTable>(parts: VerbCommandParts<T>): Command {
  return {
    name: parts.name,
    summary: parts.summary,
    run: async (args, io) => await run(parts, args, io),
  }
}

async function run<T extends OptionTable>(
  { name, options, request, text }: VerbCommandParts<T>,
  args: readonly string[],
  io: Io,
): Promise<number> {
  const flags = readFlags({ ...OPTIONS, ...COMMON, ...options }, args)
  const problems = [...flags.problems]
  const common = new OptionValues(COMMON, flags.values, problems)
  const own = new OptionValues(options, flags.values, problems)
  const { values, isMisused } = mergeSettings(flags, io.env)
  if (values.get('help')) {
    io.stdout.write(usage(name, options))
    return ExitCode.done
  }
  if (isMisused || problems.length > 0) {
    reportProblems(io.stderr, `derpfleet ${name}: nothing done`, problems)
    return ExitCode.misused
  }
  const found = await findRelay(values, hostInfo(io.env))
  const response = 'problem' in found ? found : await callVerb(found.folder, request(own))
  if ('problem' in response) {
    io.stderr.write(`derpfleet ${name}: ${response.problem}\n`)
    return ExitCode.failed
  }
  const { status, body } = response
  if (common.get('json')) io.stdout.write(`${JSON.stringify(body, undefined, 2)}\n`)
  else if (status === 200) io.stdout.write(text(body))
  else io.stderr.write(`derpfleet ${name}: ${errorText(body)}\n`)
  return status === 200 ? ExitCode.done : ExitCode.failed
}

/** Why the relay refuses, with one line for each problem. */
function errorText({ error, problems }: Body): string {
  const lines = Array.isArray(problems) ? problems.map((problem) => `\n  ${String(problem)}`) : []
  const reason = typeof error === 'string' ? error : 'the relay refuses without a reason'
  return `${reason}${lines.join('')}`
}

function usage(name: string, options: OptionTable): string {
  return `usage: derpfleet ${name} [-FLAG VALUE]... [OPTION OF serve]...

The relay is found by its state folder. Without options, it is the only one that runs on this host
with a default state folder.

${optionLines({ ...options, ...COMMON, ...FINDING })}
${EXIT_CODES}`
}
