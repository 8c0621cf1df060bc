// `derpfleet status`: how a relay on this host is.

import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

export const status = verbCommand({
  name: 'status',
  summary: 'Print the state of a relay that runs on this host',
  options: {},
  request: () => ({ method: 'GET', verb: 'status', timeoutMs: TIMEOUT_MS }),
  text: statusText,
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
}

function statusText(body: Readonly<Record<string, unknown>>): string {
  const { failing = [], siblings, certificate, drain, ...rest }: Status = body
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['relay', `${rest.hostname} ${rest.key}`],
    ['state', [rest.state, ...failing].join('\n')],
    ['running', `since ${rest.startedAt}, version ${rest.version}, process ${rest.pid}, run ${rest.run}`],
    ...(rest.otherRun === undefined ? [] : [['other run', rest.otherRun] as const]),
    ['clients', `${rest.clients}`],
    ['siblings', siblings && siblings.known > 0 ? siblingsText(siblings) : 'none'],
    ['certificate', certificate ? certificateText(certificate) : 'none'],
    ...(drain === undefined ? [] : [['drain', drainText(drain)] as const]),
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
