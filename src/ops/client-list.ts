// Who is here: a list of this relay's clients, sorted, filtered and cut, for `/clients.json`, `/clients` and `derpfleet clients`.
// Reads what was asked and picks from a sample; the sample is taken by control/. No I/O.

import { keyCount, perSecond, rowsOf, type ClientSample } from './client-snapshot.ts'

/** The largest first, but for `since`: the longest connected first. Bytes and packets are those per second, both ways. */
export const CLIENT_SORTS = ['bytes', 'packets', 'drops', 'queue', 'since'] as const
export type ClientSort = (typeof CLIENT_SORTS)[number]

/** As many rows as a person looks at. */
export const CLIENTS_SHOWN = 50
/** An answer of this many rows has some five megabytes, and takes the control thread a twentieth of a second. */
export const CLIENTS_MAX = 10_000

/** `nodekey:` and hex digits, or hex digits alone, from the first one on; or the short form of logs. */
const KEY_FILTER = /^(?:(?:nodekey:)?[\da-f]{1,64}|\[[a-z\d+/]{5}\])$/i

export function isKeyFilter(text: string): boolean {
  return KEY_FILTER.test(text)
}

export interface ClientQuery {
  readonly sort: ClientSort
  readonly limit: number
  /** What a key begins with, in hex digits, or its short form; undefined: any. */
  readonly key: string | undefined
  readonly hasFullKeys: boolean
}

/** What was asked, as texts; undefined: not given. */
export interface ClientQueryTexts {
  readonly sort?: string | undefined
  readonly limit?: string | undefined
  readonly key?: string | undefined
  readonly hasFullKeys: boolean
}

/** Numbers of packets one way. Bytes are payload bytes. */
export interface ListedTraffic {
  readonly packets: number
  readonly bytes: number
  readonly packetsPerSecond: number
  readonly bytesPerSecond: number
}

export interface ListedClient {
  /** Of the connection, the same as long as it lasts. */
  readonly number: number
  /** As the operator has keys and addresses shown; empty: not at all. */
  readonly key: string
  readonly remote: string
  readonly sinceMs: number
  readonly thread: number
  readonly way: 'fast_start' | 'derp' | 'websocket'
  readonly kind: 'client' | 'prober' | 'sibling'
  readonly isHome: boolean
  /** Another node is its ideal one. */
  readonly isNotIdeal: boolean
  /** Its key has other connections to this relay. */
  readonly isDuplicate: boolean
  /** It receives the packets for its key. */
  readonly isActive: boolean
  readonly version: number
  readonly app: string
  /** Empty: of none. */
  readonly tenant: string
  readonly received: ListedTraffic
  readonly sent: ListedTraffic
  /** Packets for it that were not delivered. */
  readonly dropped: number
  readonly queuedPackets: number
  readonly queuedBytes: number
  /** Keys whose packets it was given. */
  readonly senders: number
  /** Of the connection below, with TLS and frames. */
  readonly wireReceivedBytes: number
  readonly wireSentBytes: number
}

export interface ClientList {
  readonly atMs: number
  /** The time that rates are taken over. */
  readonly overMs: number
  /** False: a thread did not answer, and its clients are missing. */
  readonly isComplete: boolean
  readonly isTls: boolean
  readonly connections: number
  readonly keys: number
  readonly homes: number
  readonly duplicateKeys: number
  /** Connections whose key fits. */
  readonly matching: number
  readonly clients: readonly ListedClient[]
}

/** What was asked, or why that cannot be answered. */
export function readClientQuery(texts: ClientQueryTexts): ClientQuery | string {
  const { sort = 'bytes', limit = `${CLIENTS_SHOWN}`, key, hasFullKeys } = texts
  const known = CLIENT_SORTS.find((one) => one === sort)
  if (known === undefined) return `sort: unknown; expected ${CLIENT_SORTS.join(', ')}`
  const count = /^\d{1,9}$/.test(limit) ? Number(limit) : Number.NaN
  if (!(count >= 1 && count <= CLIENTS_MAX)) return `limit: expected a whole number from 1 to ${CLIENTS_MAX}`
  // What was given is not repeated: it may be anything.
  if (key !== undefined && !isKeyFilter(key))
    return 'key: expected nodekey: and hex digits, hex digits that a key begins with, or the short form [abcde]'
  return { sort: known, limit: count, key, hasFullKeys }
}

export function clientList(sample: ClientSample, query: ClientQuery, isTls: boolean): ClientList {
  const { now, before } = sample
  const all = rowsOf(now)
  const fitting = query.key === undefined ? all : rowsOf(now, keyFilter(sample, query.key))
  const duplicates = all.filter((row) => now.has(row, 'duplicate') && !now.has(row, 'sibling'))
  const shown = firstRows(sample, fitting, query)
  return {
    atMs: Math.round(now.atMs),
    overMs: Math.round(now.atMs - before.atMs),
    isComplete: now.isComplete,
    isTls,
    connections: all.length,
    keys: keyCount(now, all),
    homes: all.filter((row) => now.has(row, 'home')).length,
    duplicateKeys: keyCount(now, duplicates),
    matching: fitting.length,
    clients: shown.map((row) => listed(sample, row, query.hasFullKeys)),
  }
}

function keyFilter({ now }: ClientSample, text: string): (row: number) => boolean {
  if (text.startsWith('[')) return (row) => now.shortKeyOf(row) === text
  const prefix = `nodekey:${text.replace(/^nodekey:/i, '').toLowerCase()}`
  return (row) => now.keyOf(row).startsWith(prefix)
}

/** The first rows in the order, without sorting the many that are not among them. */
function firstRows(
  sample: ClientSample,
  rows: readonly number[],
  { sort, limit }: ClientQuery,
): readonly number[] {
  const { now } = sample
  const values = new Float64Array(now.count)
  for (const row of rows) values[row] = sortValue(sample, row, sort)
  const valueOf = (row: number): number => values[row] ?? 0
  const least = Float64Array.from(rows, valueOf).sort().at(-limit) ?? -Infinity
  const before = rows.filter((row) => valueOf(row) > least)
  // Of those that are alike, the first ones.
  const alike = rows.filter((row) => valueOf(row) === least).slice(0, limit - before.length)
  const first = least === -Infinity ? rows : [...before, ...alike]
  return first.toSorted((a, b) => valueOf(b) - valueOf(a) || now.idOf(a) - now.idOf(b))
}

function sortValue(sample: ClientSample, row: number, sort: ClientSort): number {
  const { now } = sample
  switch (sort) {
    case 'bytes':
      return perSecond(sample, row, 'receivedBytes') + perSecond(sample, row, 'sentBytes')
    case 'packets':
      return perSecond(sample, row, 'receivedPackets') + perSecond(sample, row, 'sentPackets')
    case 'drops':
      return now.value(row, 'dropped')
    case 'queue':
      return now.value(row, 'queuedBytes')
    case 'since':
      return -now.value(row, 'sinceMs')
  }
}

function listed(sample: ClientSample, row: number, hasFullKeys: boolean): ListedClient {
  const { now } = sample
  return {
    number: now.idOf(row),
    key: now.shownKeyOf(row, hasFullKeys),
    remote: now.shownRemoteOf(row),
    sinceMs: Math.round(now.value(row, 'sinceMs')),
    thread: now.threadOf(row),
    way: now.has(row, 'webSocket') ? 'websocket' : now.has(row, 'fastStart') ? 'fast_start' : 'derp',
    kind: now.has(row, 'sibling') ? 'sibling' : now.has(row, 'prober') ? 'prober' : 'client',
    isHome: now.has(row, 'home'),
    isNotIdeal: now.has(row, 'notIdeal'),
    isDuplicate: now.has(row, 'duplicate'),
    isActive: now.has(row, 'active'),
    version: now.value(row, 'version'),
    app: now.appNameOf(row),
    tenant: now.tenantOf(row),
    received: traffic(sample, row, ['receivedPackets', 'receivedBytes']),
    sent: traffic(sample, row, ['sentPackets', 'sentBytes']),
    dropped: now.value(row, 'dropped'),
    queuedPackets: now.value(row, 'queuedPackets'),
    queuedBytes: now.value(row, 'queuedBytes'),
    senders: now.value(row, 'senders'),
    wireReceivedBytes: now.value(row, 'wireReceivedBytes'),
    wireSentBytes: now.value(row, 'wireSentBytes'),
  }
}

function traffic(
  sample: ClientSample,
  row: number,
  [packets, bytes]: readonly ['receivedPackets', 'receivedBytes'] | readonly ['sentPackets', 'sentBytes'],
): ListedTraffic {
  return {
    packets: sample.now.value(row, packets),
    bytes: sample.now.value(row, bytes),
    packetsPerSecond: Math.round(10 * perSecond(sample, row, packets)) / 10,
    bytesPerSecond: Math.round(perSecond(sample, row, bytes)),
  }
}
