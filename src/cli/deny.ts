// `derpfleet deny` and `derpfleet allow`: make a relay, or the whole fleet, refuse a client until it is allowed again, and list whom a
// relay refuses so.

import { boolean, duration, text as anyText, type OptionKind } from '#config/option-kind.ts'
import type { Option, OptionTable } from '#config/option.ts'
import { reasonProblem } from '#fleet/kick.ts'
import { lineOf, paddedCells } from '#ops/text-table.ts'
import { deniedForText, endedText, KEY_OPTION, KICK_TIMEOUT_MS, kickExitCode, othersText } from './kick.ts'
import { verbCommand } from './verb-command.ts'

type Body = Readonly<Record<string, unknown>>

const reason: OptionKind<string> = {
  ...anyText('one line of at most 80 bytes'),
  parse: (given) => (reasonProblem(given) === undefined ? given : undefined),
}

const FLEET = {
  kind: boolean,
  fallback: 'false',
  about:
    'Ask all relays of the fleet to do the same. Those that do not take kicks from this relay (-kicks-from) are named, and the exit code is 1',
} as const satisfies Option

const DENY = {
  key: KEY_OPTION,
  for: { kind: duration, about: 'How long the client is refused. Without it: until `derpfleet allow`' },
  reason: { kind: reason, about: 'Why, for the list, the log of the relay and whoever comes later' },
  fleet: FLEET,
  list: {
    kind: boolean,
    fallback: 'false',
    about: 'Print whom the relay refuses, kicked clients included, and change nothing',
  },
} as const satisfies OptionTable

export const deny = verbCommand({
  name: 'deny',
  summary: "End a client's connections to a relay or to the fleet, and refuse it until it is allowed again",
  options: DENY,
  first: 'key',
  request: (own) => {
    if (own.get('list')) return { method: 'GET', verb: 'denied', parameters: {}, timeoutMs: KICK_TIMEOUT_MS }
    const [forMs, why] = [own.get('for'), own.get('reason')]
    return {
      method: 'POST',
      verb: 'deny',
      parameters: {
        key: own.get('key') ?? '',
        ...(forMs === undefined ? {} : { seconds: forMs / 1_000 }),
        ...(why === undefined ? {} : { why }),
        ...(own.get('fleet') ? { fleet: true } : {}),
      },
      timeoutMs: KICK_TIMEOUT_MS,
    }
  },
  text: (body, own) => (own.get('list') ? listText(body) : denyText(body)),
  exitCode: kickExitCode,
})

export const allow = verbCommand({
  name: 'allow',
  summary: 'End what derpfleet deny or kick has said of a client',
  options: { key: KEY_OPTION, fleet: FLEET },
  first: 'key',
  request: (own) => ({
    method: 'POST',
    verb: 'allow',
    parameters: { key: own.get('key') ?? '', ...(own.get('fleet') ? { fleet: true } : {}) },
    timeoutMs: KICK_TIMEOUT_MS,
  }),
  text: allowText,
  exitCode: kickExitCode,
})

/** What the relay has done, as far as it is printed. */
interface Done {
  readonly key?: string
  readonly ended?: number
  /** null: until it is allowed again. */
  readonly deniedForSeconds?: number | null
  readonly wasDenied?: boolean
  readonly isKept?: boolean
}

function denyText(body: Body): string {
  const { key = '', ended = 0, deniedForSeconds = null, isKept = true }: Done = body
  const text = `${key}: ${endedText(ended)}, denied ${deniedForText(deniedForSeconds)}`
  return `${text}${keptText(isKept)}\n${othersText(body, endedText)}`
}

function allowText(body: Body): string {
  const { key = '', wasDenied = false, isKept = true }: Done = body
  const text = wasDenied ? 'not denied any more' : 'it was not denied'
  return `${key}: ${text}${keptText(isKept || !wasDenied)}\n${othersText(body, () => 'done')}`
}

function keptText(isKept: boolean): string {
  return isKept ? '' : '; NOT KEPT: a restart of the relay forgets it (see admission_not_kept in its log)'
}

interface Denied {
  readonly key?: string
  readonly since?: string | null
  readonly until?: string | null
  readonly remainingSeconds?: number | null
  readonly reason?: string
}

function listText(body: Body): string {
  const denied = (Array.isArray(body['denied']) ? body['denied'] : []) as readonly Denied[]
  if (denied.length === 0) return 'nobody is denied\n'
  const rows = denied.map(({ key = '', since, until, remainingSeconds, reason: why = '' }) => [
    key,
    dateText(since, '-'),
    dateText(until, 'allowed'),
    typeof remainingSeconds === 'number' ? `${remainingSeconds} s` : '-',
    why === '' ? '-' : why,
  ])
  const table = paddedCells([['KEY', 'SINCE', 'UNTIL', 'LEFT', 'REASON'], ...rows], (at) => at === 3)
  return `${table.map(lineOf).join('\n')}\n`
}

/** To the second. @param none stands for none */
function dateText(iso: string | null | undefined, none: string): string {
  return typeof iso === 'string' ? iso.replace(/\.\d+Z$/, 'Z') : none
}
