// derper's page `/debug/clients/`: the same questions, fields and JSON, so that tools made for derper read this relay. What may be
// asked is derper-query.ts. No I/O.

import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { AdminRequest, PageAnswer } from './admin-page.ts'
import { keyCount, rowsOf, type ClientSnapshot } from './client-snapshot.ts'
import {
  addressPlace,
  DERPER_SORTS,
  derperLink,
  derperTitle,
  readDerperQuery,
  type DerperFilter,
  type DerperQuery,
  type DerperSort,
  type Place,
} from './derper-query.ts'
import { Markup, markup } from './markup.ts'

const PLAIN = 'text/plain; charset=utf-8'
const STYLE =
  'table{border-collapse:collapse;font-family:monospace}th,td{border:1px solid #ccc;padding:2px 6px;text-align:left}td.n{text-align:right}'
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
}
const NANOSECONDS = 1_000_000_000

/** A connection as derper's JSON has it; `connected` in nanoseconds. */
interface DerperClient {
  readonly connNum: number
  readonly key: string
  readonly remote: string
  readonly connectedAt: string
  readonly connected: number
  readonly active: boolean
  readonly dup: boolean
  readonly disabled: boolean
  readonly home: boolean
  readonly meshPeer: boolean
  readonly notIdeal: boolean
  readonly prober: boolean
  readonly version: number
  readonly appName: string
  readonly rxPkts: number
  readonly rxBytes: number
  readonly txPkts: number
  readonly txBytes: number
  readonly senders: number
}

interface ClientsPage {
  readonly title: string
  readonly conns: number
  readonly keys: number
  readonly remaining: number
  /** Empty on the last page. */
  readonly next: string
  readonly clients: readonly DerperClient[]
}

export async function derperClients(
  { query }: AdminRequest,
  snapshotNow: () => Promise<ClientSnapshot>,
): Promise<PageAnswer> {
  const asked = readDerperQuery(query, Date.now())
  if (typeof asked === 'string') return { status: 400, contentType: PLAIN, text: `${asked}\n` }
  const snapshot = await snapshotNow()
  if (asked === undefined) return indexAnswer(snapshot, query.get('format') === 'json')
  const page = pageOf(snapshot, asked)
  return asked.isJson ? jsonAnswer(page) : htmlAnswer(listMarkup(page, asked))
}

/** derper prints JSON with tabs. */
function jsonAnswer({ title, conns, keys, remaining, next, clients }: ClientsPage): PageAnswer {
  const body = { query: title, conns, keys, remaining, ...(next === '' ? {} : { next }), clients }
  return { status: 200, contentType: 'application/json', text: `${JSON.stringify(body, undefined, '\t')}\n` }
}

function htmlAnswer(content: Markup): PageAnswer {
  return { status: 200, contentType: 'text/html; charset=utf-8', text: content.text, headers: HEADERS }
}

function pageOf(snapshot: ClientSnapshot, query: DerperQuery): ClientsPage {
  const { filter, sort, isDescending, after, limit } = query
  const matching = rowsOf(snapshot, rowFilter(snapshot, filter))
  const direction = isDescending ? -1 : 1
  const placed = matching.map((row) => ({
    row,
    place: placeIn(snapshot, row, sort),
    id: snapshot.idOf(row),
  }))
  const isPast = ({ place, id }: (typeof placed)[number]): boolean => {
    if (after === undefined) return true
    const order = compare(place, after.place)
    if (order !== 0 || sort === 'conn') return direction * order > 0
    return after.connection !== undefined && direction * (id - after.connection) > 0
  }
  const past = placed.filter(isPast).sort((a, b) => direction * (compare(a.place, b.place) || a.id - b.id))
  const shown = past.slice(0, limit)
  const remaining = past.length - shown.length
  return {
    title: derperTitle(filter),
    conns: matching.length,
    keys: keyCount(snapshot, matching),
    remaining,
    next: remaining === 0 ? '' : nextLink(snapshot, query, shown.at(-1)?.row ?? 0),
    clients: shown.map(({ row }) => clientOf(snapshot, row)),
  }
}

function rowFilter(
  snapshot: ClientSnapshot,
  { ip, cidr, key, apps }: DerperFilter,
): (row: number) => boolean {
  const isFrom = (row: number): boolean => {
    const of = snapshot.ipOf(row)
    if (ip !== undefined) return of === '' ? false : addressPlace(of, 0) === addressPlace(ip, 0)
    return of !== '' && cidr?.block.check(of, isIPv6(of) ? 'ipv6' : 'ipv4') === true
  }
  return (row) =>
    (key === undefined || snapshot.keyOf(row) === key) &&
    ((ip === undefined && cidr === undefined) || isFrom(row)) &&
    (apps === undefined || apps.includes(snapshot.appNameOf(row)))
}

const COUNTERS = {
  rx: 'receivedBytes',
  tx: 'sentBytes',
  rxpkts: 'receivedPackets',
  txpkts: 'sentPackets',
} as const

function placeIn(snapshot: ClientSnapshot, row: number, sort: DerperSort): Place {
  switch (sort) {
    case 'key':
      return snapshot.keyOf(row)
    case 'ip':
      return addressPlace(snapshot.ipOf(row), snapshot.value(row, 'port'))
    case 'conn':
      return snapshot.idOf(row)
    case 'connected':
      return Math.round(1_000 * snapshot.value(row, 'sinceMs'))
    default:
      return snapshot.value(row, COUNTERS[sort])
  }
}

function compare(one: Place, other: Place): number {
  return one < other ? -1 : one > other ? 1 : 0
}

/** To what follows this row. */
function nextLink(snapshot: ClientSnapshot, query: DerperQuery, row: number): string {
  const sort = `${query.isDescending ? '-' : ''}${query.sort}`
  const id = `${snapshot.idOf(row)}`
  switch (query.sort) {
    case 'conn':
      return derperLink(query, sort, [id])
    case 'ip':
      return derperLink(query, sort, [snapshot.remoteOf(row), id])
    case 'connected':
      return derperLink(query, sort, [`${placeIn(snapshot, row, 'connected')}000`, id])
    default:
      return derperLink(query, sort, [`${placeIn(snapshot, row, query.sort)}`, id])
  }
}

function clientOf(snapshot: ClientSnapshot, row: number): DerperClient {
  const sinceMs = snapshot.value(row, 'sinceMs')
  return {
    connNum: snapshot.idOf(row),
    key: snapshot.keyOf(row),
    remote: snapshot.remoteOf(row),
    connectedAt: new Date(sinceMs).toISOString(),
    connected: NANOSECONDS * Math.round((snapshot.value(row, 'atMs') - sinceMs) / 1_000),
    active: snapshot.has(row, 'active'),
    dup: snapshot.has(row, 'duplicate'),
    // derper has a policy that disables such connections, and does not use it.
    disabled: false,
    home: snapshot.has(row, 'home'),
    meshPeer: snapshot.has(row, 'sibling'),
    notIdeal: snapshot.has(row, 'notIdeal'),
    prober: snapshot.has(row, 'prober'),
    version: snapshot.value(row, 'version'),
    appName: snapshot.appNameOf(row),
    rxPkts: snapshot.value(row, 'receivedPackets'),
    rxBytes: snapshot.value(row, 'receivedBytes'),
    txPkts: snapshot.value(row, 'sentPackets'),
    txBytes: snapshot.value(row, 'sentBytes'),
    senders: snapshot.value(row, 'senders'),
  }
}

function indexAnswer(snapshot: ClientSnapshot, isJson: boolean): PageAnswer {
  const [conns, keys] = [snapshot.count, keyCount(snapshot, rowsOf(snapshot))]
  if (isJson)
    return { status: 200, contentType: 'application/json', text: `${JSON.stringify({ conns, keys })}\n` }
  const form = (label: string, name: string, placeholder: string): Markup =>
    markup`<li><form method="GET">By ${label}: <input name="${name}" size="80" aria-label="${label}" placeholder="${placeholder}"> <button>Go</button></form></li>`
  return htmlAnswer(
    document(
      'DERP clients',
      markup`<p>${conns} connections for ${keys} node keys.</p>
<ul>
<li><form method="GET"><button name="all" value="1">List all clients</button></form></li>
${form('IP address', 'ip', '192.0.2.1')}
${form('CIDR', 'cidr', '192.0.2.0/24')}
${form('node key', 'key', `nodekey:${'0'.repeat(64)}`)}
${form('app name', 'app', '')}
</ul>
<p>Further parameters: app=NAME, also several times; sort=${DERPER_SORTS.join('|')}, with a leading - for descending; limit=N; after=X, a value of the sorted column; format=json.</p>
`,
    ),
  )
}

const COLUMNS: readonly { readonly title: string; readonly sort?: DerperSort }[] = [
  { title: 'conn#', sort: 'conn' },
  { title: 'node key', sort: 'key' },
  { title: 'remote', sort: 'ip' },
  { title: 'connected', sort: 'connected' },
  { title: 'flags' },
  { title: 'ver' },
  { title: 'app' },
  { title: 'rx pkts', sort: 'rxpkts' },
  { title: 'rx bytes', sort: 'rx' },
  { title: 'tx pkts', sort: 'txpkts' },
  { title: 'tx bytes', sort: 'tx' },
  { title: 'senders' },
]

function listMarkup(
  { title, conns, keys, remaining, next, clients }: ClientsPage,
  query: DerperQuery,
): Markup {
  const more = next === '' ? '' : markup`<a href="${next}">Next page</a> (${remaining} more)`
  return document(
    `DERP clients: ${title}`,
    markup`<p><a href="?">index</a></p>
<p>Showing ${clients.length} of ${conns} matching connections (${keys} node keys). ${more}</p>
<table>
<tr>${COLUMNS.map((column) => headMarkup(column, query))}</tr>
${clients.map(rowMarkup)}</table>
<p>${more}</p>
`,
  )
}

/** The order that a click on a column brings: the other direction of the present one; of counters, the largest first. */
function headMarkup({ title, sort }: (typeof COLUMNS)[number], query: DerperQuery): Markup {
  if (sort === undefined) return markup`<th>${title}</th>`
  const isPresent = sort === query.sort
  const isDownNext = isPresent ? !query.isDescending : sort in COUNTERS
  const arrow = isPresent ? (query.isDescending ? ' \u{25bc}' : ' \u{25b2}') : ''
  return markup`<th><a href="${derperLink(query, `${isDownNext ? '-' : ''}${sort}`)}">${title}</a>${arrow}</th>`
}

function rowMarkup(client: DerperClient): Markup {
  const { connNum, key, remote, connected, version, appName, rxPkts, rxBytes, txPkts, txBytes, senders } =
    client
  const ip = remote.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '')
  const app =
    appName === ''
      ? ''
      : markup`<a href="?${new URLSearchParams({ app: appName }).toString()}">${appName}</a>`
  const numbers = [rxPkts, rxBytes, txPkts, txBytes, senders]
  return markup`<tr><td>${connNum}</td><td><a href="?key=${key}">${key}</a></td><td><a href="?ip=${ip}">${remote}</a></td><td>${connected / NANOSECONDS}s</td><td>${flagsOf(client)}</td><td>${version}</td><td>${app}</td>${numbers.map((number) => markup`<td class="n">${number}</td>`)}</tr>
`
}

function flagsOf({ home, meshPeer, prober, notIdeal, dup, active }: DerperClient): string {
  return [
    ...(home ? ['home'] : []),
    ...(meshPeer ? ['mesh'] : []),
    ...(prober ? ['prober'] : []),
    ...(notIdeal ? ['notideal'] : []),
    ...(dup ? [active ? 'dup-active' : 'dup'] : []),
  ].join(' ')
}

function document(title: string, body: Markup): Markup {
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${new Markup(STYLE)}</style></head>
<body>
<h1>${title}</h1>
${body}</body></html>
`
}
