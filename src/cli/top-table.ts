// The overview of a relay and its fleet as text for a terminal: a head with this relay's numbers, and a row for each relay,
// sorted. State words stand beside colours. No I/O.

import { lineOf, paddedCells } from '#ops/text-table.ts'
import type { Overview, OverviewRelay } from '#ops/overview.ts'
import { bits, clockTime, count, duration, milliseconds, percent, UNKNOWN } from '#ops/quantity.ts'

/** The answer of a relay: what is not known is null or missing. */
export type TopBody = Partial<Overview> & {
  readonly level?: string
  readonly concerns?: readonly string[]
}

interface Row {
  readonly relay: OverviewRelay
  readonly rttMs: number | undefined
  readonly bytes: number | undefined
}

interface Column {
  readonly title: string
  readonly isRight: boolean
  cell(row: Row, nowMs: number): string
}

/** By which key a table is sorted, and by which field; the largest first, but for names. */
export const SORTS = {
  name: (row: Row) => `${row.relay.region ?? ''} ${row.relay.nodes[0] ?? row.relay.name}`,
  state: (row: Row) => row.relay.state,
  clients: (row: Row) => -(row.relay.clients ?? -1),
  throughput: (row: Row) => -(row.bytes ?? -1),
  headroom: (row: Row) => row.relay.headroomRatio ?? 2,
  rtt: (row: Row) => -(row.rttMs ?? -1),
} as const
export type Sort = keyof typeof SORTS

const COLUMNS: readonly Column[] = [
  {
    title: 'RELAY',
    isRight: false,
    cell: ({ relay }) =>
      `${relay.isOwn ? '*' : ' '}${[relay.nodes[0] ?? '', hostOf(relay)].join(' ').trim()}`,
  },
  { title: 'STATE', isRight: false, cell: ({ relay }) => wordOf(relay) },
  { title: 'CLIENTS', isRight: true, cell: ({ relay }) => count(relay.clients ?? undefined) },
  { title: 'IN', isRight: true, cell: ({ relay }) => rate(relay.bytesInPerSecond) },
  { title: 'OUT', isRight: true, cell: ({ relay }) => rate(relay.bytesOutPerSecond) },
  {
    title: 'HEADROOM',
    isRight: true,
    cell: ({ relay }) => withUnit(percent(relay.headroomRatio ?? undefined), '%'),
  },
  { title: 'RTT', isRight: true, cell: ({ rttMs }) => withUnit(milliseconds(rttMs), 'ms') },
  {
    title: 'CERT',
    isRight: true,
    cell: ({ relay: { certificateNotAfterMs: until } }, nowMs) =>
      typeof until === 'number' ? duration(until - nowMs) : UNKNOWN,
  },
  { title: 'HEARD', isRight: true, cell: ({ relay }) => heard(relay) },
  { title: 'VERSION', isRight: false, cell: ({ relay }) => relay.version ?? '' },
]

/** By the words of a relay, which may be any. */
const COLOURS: ReadonlyMap<string, number> = new Map([
  ['ok', 32],
  ['up', 32],
  ['degraded', 33],
  ['draining', 33],
  ['not ready', 33],
  ['down', 31],
])
const WORDS: ReadonlyMap<string, string> = new Map([
  ['serving', 'Serving'],
  ['draining', 'Draining'],
])

export interface TableOptions {
  readonly sort: Sort
  readonly hasColour: boolean
  /** Rows that there is room for. */
  readonly rowsMax?: number
}

export function topText(body: TopBody, { sort, hasColour, rowsMax = Infinity }: TableOptions): string {
  const paint = (text: string, colour: number | undefined): string =>
    hasColour && colour !== undefined ? `\u{1b}[${colour}m${text}\u{1b}[0m` : text
  const rows = rowsOf(body, sort)
  const nowMs = body.atMs ?? Date.now()
  const cells = rows.slice(0, rowsMax).map((row) => COLUMNS.map((column) => column.cell(row, nowMs)))
  const titles = COLUMNS.map(({ title }) => title)
  const padded = paddedCells([titles, ...cells], (at) => COLUMNS[at]?.isRight === true)
  const lines = padded.map((line, number) =>
    lineOf(line.map((text, at) => (number > 0 && at === 1 ? paint(text, COLOURS.get(text.trim())) : text))),
  )
  const hidden = rows.length - cells.length
  const more = hidden > 0 ? [`${hidden} more`] : []
  return `${[...headOf(body, paint), '', ...lines, ...more].join('\n')}\n`
}

function headOf(
  body: TopBody,
  paint: (text: string, colour: number | undefined) => string,
): readonly string[] {
  const { hostname = '', nodes = [], level = 'unknown', concerns = [], atMs, load, certificate } = body
  const title = `${hostname}${nodes.length > 0 ? ` (${nodes.join(' ')})` : ''}`
  const time = atMs === undefined ? '' : `  ${clockTime(atMs)} UTC`
  const numbers =
    load === undefined
      ? []
      : [
          `${count(load.clients)} clients`,
          `${rate(load.bytesInPerSecond)} in`,
          `${rate(load.bytesOutPerSecond)} out`,
          `headroom ${withUnit(percent(body.headroomRatio ?? undefined), '%')}`,
          `dropped ${withUnit(percent(load.dropRatio ?? undefined), '%')}`,
          `queue p99 ${withUnit(milliseconds(load.queueP99Ms ?? undefined), 'ms')}`,
          ...(certificate && atMs !== undefined
            ? [`certificate ${duration(certificate.notAfterMs - atMs)}`]
            : []),
        ]
  const word = WORDS.get(body.state ?? '') ?? 'Not ready'
  return [
    `${title}  ${paint(`${word}, ${level}`, COLOURS.get(level))}${time}`,
    numbers.join('  '),
    ...concerns.map((concern) => paint(concern, COLOURS.get('degraded'))),
  ]
}

function rowsOf({ relays = [], links = [] }: TopBody, sort: Sort): readonly Row[] {
  const own = relays.find(({ isOwn }) => isOwn)?.name
  const rows = relays.map((relay): Row => {
    const link = links.find(({ from, to }) => from === own && to === relay.name)
    const known = [relay.bytesInPerSecond, relay.bytesOutPerSecond].filter(
      (value) => typeof value === 'number',
    )
    return {
      relay,
      rttMs: link?.isUp === true ? (link.rttMs ?? undefined) : undefined,
      bytes: known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0),
    }
  })
  const key = SORTS[sort]
  return rows.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
}

function hostOf({ name }: OverviewRelay): string {
  return name.split('/', 1)[0] ?? name
}

function wordOf({ state, health }: OverviewRelay): string {
  return state === 'up' && health === 'notReady' ? 'not ready' : state
}

function heard({ isOwn, ageMs }: OverviewRelay): string {
  if (isOwn) return 'here'
  return typeof ageMs === 'number' ? duration(ageMs) : UNKNOWN
}

function rate(bytes: number | undefined): string {
  return bits(bytes ?? undefined)
    .join(' ')
    .trim()
}

function withUnit(value: string, unit: string): string {
  return value === UNKNOWN ? value : `${value} ${unit}`
}
