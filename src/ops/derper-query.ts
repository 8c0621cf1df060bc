// What derper's page `/debug/clients/` is asked: a filter, an order, a page size, a format, and where the last page ended. The
// names and meanings are derper's (derp/derpserver/debugclients.go). Texts that were given are not repeated in problems: they may
// be anything. No I/O.

import { BlockList, isIP } from 'node:net'

const LIMIT = 100
const LIMIT_MAX = 1_000
/** Names of an app filter; more than anybody writes. */
const APPS_MAX = 100

export const DERPER_SORTS = ['key', 'ip', 'conn', 'connected', 'rx', 'tx', 'rxpkts', 'txpkts'] as const
export type DerperSort = (typeof DERPER_SORTS)[number]

/** A place in an order: texts for keys and addresses, else numbers. */
export type Place = string | number

export interface DerperFilter {
  /** Of the three at most one is given. */
  readonly ip?: string
  readonly cidr?: { readonly text: string; readonly block: BlockList }
  readonly key?: string
  /** Undefined: whatever their names; the empty one is that of clients without a name. */
  readonly apps: readonly string[] | undefined
}

export interface DerperQuery {
  readonly filter: DerperFilter
  readonly sort: DerperSort
  readonly isDescending: boolean
  readonly limit: number
  readonly isJson: boolean
  /** The page begins after it. */
  readonly after: { readonly place: Place; readonly connection: number | undefined } | undefined
}

/** The query; undefined without a filter: the index is asked for; or what is wrong. */
export function readDerperQuery(query: URLSearchParams, nowMs: number): DerperQuery | undefined | string {
  const format = query.get('format') ?? ''
  if (!['', 'json', 'html'].includes(format)) return 'bad format; want json or html'
  const filter = filterOf(query)
  if (filter === undefined || typeof filter === 'string') return filter
  const text = query.get('sort') ?? ''
  const isDescending = text.startsWith('-')
  const name = text.slice(isDescending ? 1 : 0)
  const sort = DERPER_SORTS.find((one) => one === (name === '' ? 'key' : name))
  if (sort === undefined) return `bad sort; want ${DERPER_SORTS.join(', ')}, optionally with a leading -`
  const limit = numberOf(query.get('limit') || `${LIMIT}`)
  if (limit === undefined || limit < 1) return 'bad limit'
  const afterText = query.get('after') ?? ''
  const place = afterText === '' ? undefined : placeOf(sort, afterText, { isDescending, nowMs })
  if (afterText !== '' && place === undefined) return `bad after for sort by ${sort}`
  const connectionText = query.get('afterconn') ?? ''
  const connection = connectionText === '' ? undefined : numberOf(connectionText)
  if (connectionText !== '' && connection === undefined) return 'bad afterconn'
  return {
    filter,
    sort,
    isDescending,
    limit: Math.min(limit, LIMIT_MAX),
    isJson: format === 'json',
    after: place === undefined ? undefined : { place, connection },
  }
}

/** The query with another order and beginning, as a relative address. */
export function derperLink(
  { filter, limit, isJson }: DerperQuery,
  sort: string,
  after?: readonly [place: string, connection?: string],
): string {
  const { ip, cidr, key, apps = [] } = filter
  const chosen = ip ?? cidr?.text ?? key
  const pairs: [string, string | undefined][] = [
    ['after', after?.[0]],
    ['afterconn', after?.[1]],
    ['all', chosen === undefined ? '1' : undefined],
    ...apps.map((app): [string, string] => ['app', app]),
    ['cidr', cidr?.text],
    ['format', isJson ? 'json' : undefined],
    ['ip', ip],
    ['key', key],
    ['limit', limit === LIMIT ? undefined : `${limit}`],
    ['sort', sort],
  ]
  const given = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)
  return `?${new URLSearchParams(given).toString()}`
}

/** What is listed, in words. */
export function derperTitle({ ip, cidr, key, apps }: DerperFilter): string {
  const from = ip ?? cidr?.text
  const what =
    from === undefined
      ? key === undefined
        ? 'all clients'
        : `connections for ${key}`
      : `clients from ${from}`
  return apps === undefined ? what : `${what} with app ${apps.map((app) => app || '(none)').join(' or ')}`
}

/** Addresses in their order: IPv4 before IPv6, then by their bits, then by port. */
export function addressPlace(ip: string, port: number): string {
  const places = ip.includes(':')
    ? `6${groupsOf(ip).join('')}`
    : `4${ip
        .split('.')
        .map((part) => part.padStart(3, '0'))
        .join('')}`
  return `${places} ${`${port}`.padStart(5, '0')}`
}

function filterOf(query: URLSearchParams): DerperFilter | undefined | string {
  const [ip, cidr, key] = ['ip', 'cidr', 'key'].map((name) => query.get(name) || undefined)
  const apps = query.has('app') ? query.getAll('app') : undefined
  if (apps !== undefined && apps.length > APPS_MAX) return `at most ${APPS_MAX} apps may be given`
  const given = [ip, cidr, key].filter((one) => one !== undefined).length + (query.has('all') ? 1 : 0)
  if (given > 1) return 'only one of all, ip, cidr, or key may be given'
  if (ip !== undefined && isIP(ip) === 0) return 'bad ip'
  const block = cidr === undefined ? undefined : blockOf(cidr)
  if (cidr !== undefined && block === undefined) return 'bad cidr'
  if (key !== undefined && !isKey(key)) return 'bad key'
  if (given === 0 && apps === undefined) return undefined
  return {
    apps,
    ...(ip !== undefined && { ip: ip.replace(/^::ffff:(?=\d+\.)/i, '') }),
    ...(cidr !== undefined && block !== undefined && { cidr: { text: cidr, block } }),
    ...(key !== undefined && { key: key.toLowerCase() }),
  }
}

function isKey(text: string): boolean {
  return /^nodekey:[\da-f]{64}$/i.test(text)
}

function blockOf(cidr: string): BlockList | undefined {
  const [, address = '', bits = ''] = /^([\da-f:.]{2,45})\/(\d{1,3})$/i.exec(cidr) ?? []
  const version = isIP(address)
  if (version === 0 || Number(bits) > (version === 4 ? 32 : 128)) return undefined
  const block = new BlockList()
  block.addSubnet(address, Number(bits), version === 4 ? 'ipv4' : 'ipv6')
  return block
}

function placeOf(
  sort: DerperSort,
  text: string,
  { isDescending, nowMs }: { readonly isDescending: boolean; readonly nowMs: number },
): Place | undefined {
  switch (sort) {
    case 'key':
      return isKey(text) ? text.toLowerCase() : undefined
    case 'ip':
      return addressOf(text, isDescending ? 0 : 65_535)
    case 'connected':
      return connectedPlace(text, nowMs)
    default:
      return numberOf(text)
  }
}

/** An address alone stands for all of its ports. */
function addressOf(text: string, otherwise: number): string | undefined {
  if (isIP(text) !== 0) return addressPlace(text, otherwise)
  const [, inBrackets, plain, port] = /^(?:\[([\da-f:.]+)\]|([\d.]+)):(\d{1,5})$/i.exec(text) ?? []
  const ip = inBrackets ?? plain ?? ''
  return isIP(ip) === 0 || Number(port) > 65_535 ? undefined : addressPlace(ip, Number(port))
}

const UNITS_S: Readonly<Record<string, number>> = { h: 3_600, m: 60, s: 1 }

/** In microseconds: a time in nanoseconds, or how long the connection is to have been up, such as 30m. */
function connectedPlace(text: string, nowMs: number): number | undefined {
  if (/^\d{1,19}$/.test(text)) return Number(BigInt(text) / 1_000n)
  if (!/^(\d{1,9}(\.\d{1,9})?[hms])+$/.test(text)) return undefined
  let seconds = 0
  for (const [, amount, unit = ''] of text.matchAll(/([\d.]+)([hms])/g))
    seconds += Number(amount) * (UNITS_S[unit] ?? Number.NaN)
  return Math.round(1_000 * nowMs - 1_000_000 * seconds)
}

function numberOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Eight groups of four digits. */
function groupsOf(ip: string): readonly string[] {
  const [front = '', back] = ip.split('%', 1)[0]?.split('::') ?? []
  const left = front === '' ? [] : front.split(':')
  const right = back === undefined || back === '' ? [] : back.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...(back === undefined ? [] : zeros), ...right].map((group) =>
    group.toLowerCase().padStart(4, '0'),
  )
}
