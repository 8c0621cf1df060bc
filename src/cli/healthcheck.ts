// `derpfleet healthcheck`: asks the relay of this host or container whether it lives, and whether clients may be sent to it,
// for probes that run a program: HEALTHCHECK of an image, `podman healthcheck`, exec probes. Prints one line. Asks one
// relay over its control socket, which exists whatever the admin port is, and where there is none, over the admin port.

import { endpoint, boolean } from '#config/option-kind.ts'
import { readFlags } from '#config/flags.ts'
import { hostInfo } from '#config/host-info.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import { OPTIONS, type ServeOptions } from '#config/options.ts'
import { mergeSettings } from '#config/read-settings.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { timeout } from './probe-options.ts'
import { reportProblems } from './report.ts'
import { terminalText } from './terminal-text.ts'
import { EXIT_CODES, optionLines } from './usage.ts'
import { callVerb, findRelay, readPageAt, type VerbResponse } from './verb-client.ts'
import { FINDING } from './verb-command.ts'

const READINESS_PAGE = '/readyz'

const OWN = {
  ready: {
    kind: boolean,
    fallback: 'false',
    about:
      'Fail also if clients are not to be sent to the relay, as /readyz does: while it drains, or if one of its checks fails. A restart does not help then',
  },
  timeout: {
    kind: timeout,
    // Shorter than the ten seconds that the image gives the whole command.
    fallback: '3s',
    about: 'Time that the relay may take',
  },
  addr: {
    kind: endpoint,
    about: "Address of the relay's admin port, instead of its state folder",
  },
} as const satisfies OptionTable

/** What a relay says of itself. */
interface Health {
  readonly isReady: boolean
  /** The failing checks, each with its reason. */
  readonly failing: readonly string[]
}

export const healthcheck: Command = {
  name: 'healthcheck',
  summary: 'Ask a relay that runs on this host whether it lives, for probes that run a program',
  async run(args, io) {
    const flags = readFlags({ ...OPTIONS, ...OWN }, args)
    const problems = [...flags.problems]
    const own = new OptionValues(OWN, flags.values, problems)
    const { values, isMisused } = mergeSettings(flags, io.env)
    if (values.get('help')) {
      io.stdout.write(usage())
      return ExitCode.done
    }
    if (isMisused || problems.length > 0) {
      reportProblems(io.stderr, 'derpfleet healthcheck: nothing asked', problems)
      return ExitCode.misused
    }
    const answer = await ask(own, values, io)
    const health = 'problem' in answer ? answer : healthOf(answer)
    if ('problem' in health) {
      io.stderr.write(`derpfleet healthcheck: ${oneLine(health.problem)}\n`)
      return ExitCode.failed
    }
    const { isReady, failing } = health
    io.stdout.write(isReady ? 'live and ready\n' : `live, not ready: ${oneLine(failing.join('; '))}\n`)
    return isReady || !own.get('ready') ? ExitCode.done : ExitCode.failed
  },
}

async function ask(
  own: OptionValues<typeof OWN>,
  values: OptionValues<ServeOptions>,
  { env }: Io,
): Promise<VerbResponse> {
  const timeoutMs = own.get('timeout')
  const named = own.get('addr')
  if (named !== undefined) return await readPageAt(named, READINESS_PAGE, timeoutMs)
  const found = await findRelay(values, hostInfo(env))
  if ('folder' in found) return await callVerb(found.folder, { method: 'GET', verb: 'status', timeoutMs })
  // A relay whose state folder cannot be used serves without a socket.
  const admin = values.get('admin')
  if (found.areSeveral === true || admin === 'off' || admin.port === 0) return found
  const answer = await readPageAt(admin, READINESS_PAGE, timeoutMs)
  return 'problem' in answer ? { problem: `${found.problem}; ${answer.problem}` } : answer
}

/** Of the verb `status`, or of the page /readyz; anything else is no relay's. */
function healthOf({
  status,
  body,
}: Exclude<VerbResponse, { problem: string }>): Health | { problem: string } {
  const { state, failing, isReady, checks } = body
  if (status === 200 && typeof state === 'string' && Array.isArray(failing))
    return { isReady: state === 'ready', failing: failing.map(String) }
  if (typeof isReady === 'boolean' && Array.isArray(checks))
    return { isReady, failing: checks.flatMap(failureIn) }
  return { problem: `the answer is not that of a relay (status ${status})` }
}

function failureIn(check: unknown): string[] {
  if (typeof check !== 'object' || check === null) return []
  const { name, isOk, detail }: { name?: unknown; isOk?: unknown; detail?: unknown } = check
  return isOk === true ? [] : [`${String(name)}: ${String(detail)}`]
}

function oneLine(text: string): string {
  return terminalText(text).replaceAll(/\s*\n\s*/g, ' ')
}

function usage(): string {
  return `usage: derpfleet healthcheck [-FLAG VALUE]... [OPTION OF serve]...

Without -ready, the relay is to be restarted if the check fails. Without -addr, the relay is found by its state
folder, or else by -admin; both are read from the environment and from -config as serve does.

${optionLines({ ...OWN, ...FINDING, admin: OPTIONS.admin })}
${EXIT_CODES}`
}
