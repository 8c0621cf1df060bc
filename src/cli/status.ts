// `derpfleet status`: how a relay on this host is, and with -fleet how all relays are as it knows them.

import { boolean } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import { levelCode, OVERVIEW_PAGE, statusLine } from './status-line.ts'
import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

const OPTIONS = {
  fleet: {
    kind: boolean,
    fallback: 'false',
    about: 'Print all relays of the fleet, too, as this relay knows them',
  },
  short: {
    kind: boolean,
    fallback: 'false',
    about:
      'Print one line. The exit code is 0 if all is well, 1 if something is not, 2 if clients are not sent to the relay or it does not answer',
  },
} as const satisfies OptionTable

export const status = verbCommand({
  name: 'status',
  summary: 'Print the state of a relay that runs on this host',
  options: OPTIONS,
  request: (own) => ({
    method: 'GET',
    verb: own.get('short') ? 'overview' : own.get('fleet') ? 'fleet' : 'status',
    timeoutMs: TIMEOUT_MS,
  }),
  page: (own) => (own.get('short') ? OVERVIEW_PAGE : undefined),
  text: (body, own) => (own.get('short') ? statusLine(body) : statusText(body)),
  exitCode: (body, own) => (own.get('short') ? levelCode(body) : undefined),
})

/** The shape of the relay's answer, as far as it is printed. */
interface Status {
  readonly hostname?: string
  readonly key?: string
  readonly version?: string
  readonly pid?: number
  readonly run?: number
  readonly otherRun?: string
  readonly startedAt?: string
  readonly state?: string
  readonly failing?: readonly string[]
  readonly clients?: number
  readonly siblings?: { readonly known: number; readonly up: number; readonly down: readonly string[] }
  readonly certificate?: {
    readonly name?: string
    readonly validUntil?: string
    readonly source?: string
    readonly failure?: string
  }
  readonly drain?: Readonly<Record<string, number>>
  readonly fleet?: FleetStatus
}

interface FleetStatus {
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly relays: readonly {
    readonly name: string
    readonly isListed: boolean
    readonly nodes: readonly string[]
    readonly state: string
    readonly knownBy: string
    readonly ageMs?: number
    readonly last?: {
      readonly version: string
      readonly health: { readonly state: string }
      readonly load: { readonly clients?: number }
    }
  }[]
  readonly conflicts: readonly { readonly what: string; readonly owner: string; readonly other: string }[]
}

function statusText(body: Readonly<Record<string, unknown>>): string {
  const { failing = [], siblings, certificate, drain, fleet, ...rest }: Status = body
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['relay', `${rest.hostname} ${rest.key}`],
    ['state', [rest.state, ...failing].join('\n')],
    ['running', `since ${rest.startedAt}, version ${rest.version}, process ${rest.pid}, run ${rest.run}`],
    ...(rest.otherRun === undefined ? [] : [['other run', rest.otherRun] as const]),
    ['clients', `${rest.clients}`],
    ['siblings', siblings && siblings.known > 0 ? siblingsText(siblings) : 'none'],
    ['certificate', certificate ? certificateText(certificate) : 'none'],
    ...(drain === undefined ? [] : [['drain', drainText(drain)] as const]),
    ...(fleet === undefined ? [] : [['fleet', fleetText(fleet)] as const]),
  ]
  const width = Math.max(...rows.map(([title]) => title.length))
  return rows
    .map(
      ([title, text = '']) =>
        `${title.padEnd(width)}  ${text.replaceAll('\n', `\n${' '.repeat(width + 2)}`)}\n`,
    )
    .join('')
}

function siblingsText({ known, up, down }: NonNullable<Status['siblings']>): string {
  return [`${up} of ${known} connected`, ...(down.length > 0 ? [`not: ${down.join(', ')}`] : [])].join('; ')
}

function certificateText({ name, source, validUntil, failure }: NonNullable<Status['certificate']>): string {
  const life = validUntil === undefined ? 'none yet' : `${name}, ${source}, until ${validUntil}`
  return failure === undefined ? life : `${life}\n${failure}`
}

function drainText(numbers: Readonly<Record<string, number>>): string {
  return Object.entries(numbers)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}

/** A line for each relay: state, name, nodes, and what it has told. */
function fleetText({ majority: { seen, expected, isMajority }, relays, conflicts }: FleetStatus): string {
  const sight = `${seen} of ${expected} relays seen${isMajority ? '' : ', which is no majority'}`
  const lines = relays.map(({ name, isListed, nodes, state, knownBy, ageMs, last }) => {
    const told = last && [last.health.state, `${last.load.clients ?? '?'} clients`, `version ${last.version}`]
    const age = ageMs === undefined ? [] : [`${Math.round(ageMs / 1_000)} s ago`]
    const known =
      told === undefined ? [knownBy === 'link' ? 'tells no state' : 'not heard yet'] : [...told, ...age]
    const notes = [
      ...(nodes.length > 0 ? [nodes.join(' ')] : []),
      ...known,
      ...(isListed ? [] : ['not listed']),
    ]
    return `${state.padEnd('draining'.length)} ${name}: ${notes.join(', ')}`
  })
  const doubts = conflicts.map(({ what, owner, other }) => `${what} is claimed by ${owner} and by ${other}`)
  return [sight, ...lines, ...doubts].join('\n')
}
