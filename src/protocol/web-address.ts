// Parses URLs by the rules of Go's net/url and net/http, for which derper's users write them: zones in IPv6 addresses, any
// port, paths sent as written, redirects. The browsers' rules (`new URL`) differ in each of these. Looks nothing up.

import { domainToASCII } from 'node:url'
import { bracketed } from './host-port.ts'

export interface WebAddress {
  readonly scheme: string
  readonly userinfo: { readonly name: string; readonly password: string } | undefined
  /** Name or IP address, the latter with its zone and without brackets; empty in a reference. */
  readonly hostname: string
  /** As written; empty for the scheme's default. */
  readonly port: string
  /** Percent-encoded, ready to be sent; may be empty. */
  readonly path: string
  /** Undefined without a question mark. */
  readonly query: string | undefined
}

/** Its message never contains the text, which may hold a password. */
export class WebAddressError extends Error {}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  http: 80,
  https: 443,
  socks5: 1_080,
  socks5h: 1_080,
}

/** Parses a URL of any scheme, or a reference. @throws WebAddressError */
export function parseWebAddress(text: string): WebAddress {
  if (hasControl(text)) throw new WebAddressError('control characters in it')
  const [beforeFragment = ''] = text.split('#', 1)
  const [scheme, rest] = splitScheme(beforeFragment)
  const questionAt = rest.indexOf('?')
  const query = questionAt < 0 ? undefined : rest.slice(questionAt + 1)
  const main = questionAt < 0 ? rest : rest.slice(0, questionAt)
  if (!main.startsWith('//')) {
    if (scheme !== '' && !main.startsWith('/')) throw new WebAddressError('no host in it')
    if (scheme === '' && main.split('/', 1)[0]?.includes(':') === true)
      throw new WebAddressError('no scheme in it')
    return { scheme, userinfo: undefined, hostname: '', port: '', path: sendable(main), query }
  }
  const slashAt = main.indexOf('/', 2)
  const authority = slashAt < 0 ? main.slice(2) : main.slice(2, slashAt)
  const path = slashAt < 0 ? '' : sendable(main.slice(slashAt))
  return { scheme, ...parseAuthority(authority), path, query }
}

/** Returns the address if a request can be sent to it. @throws WebAddressError */
export function requestable(address: WebAddress): WebAddress {
  if (address.scheme !== 'http' && address.scheme !== 'https') throw new WebAddressError('not http or https')
  if (address.hostname === '') throw new WebAddressError('no host in it')
  if (portOf(address) > 65_535) throw new WebAddressError('no such port')
  return address
}

/** The address that a `Location` gives relative to `base`. */
export function resolveReference(base: WebAddress, text: string): WebAddress {
  const reference = parseWebAddress(text)
  const { scheme, hostname, userinfo, path, query } = reference
  if (scheme !== '' || hostname !== '' || userinfo !== undefined) {
    return { ...reference, scheme: scheme === '' ? base.scheme : scheme, path: withoutDots(path) }
  }
  const fullPath = path === '' || path.startsWith('/') ? path || base.path : folderOf(base.path) + path
  const isSameQuery = path === '' && query === undefined
  return { ...base, path: withoutDots(fullPath), query: isSameQuery ? base.query : query }
}

export function portOf({ port, scheme }: WebAddress): number {
  return port === '' ? (DEFAULT_PORTS[scheme] ?? 0) : Number(port)
}

/** The `Host` header: as written, without the zone, which has no meaning on another host. */
export function hostHeader({ hostname, port }: WebAddress): string {
  const host = bracketed(hostname.split('%', 1)[0] ?? '')
  return port === '' ? host : `${host}:${port}`
}

/** The target in the request line. */
export function requestTarget({ path, query }: WebAddress): string {
  return `${path === '' ? '/' : path}${query === undefined ? '' : `?${wireText(query)}`}`
}

/** The address for messages: no userinfo, no query, both of which may hold secrets. */
export function shownAddress(address: WebAddress): string {
  return `${address.scheme}://${hostHeader(address)}${address.path}`
}

function splitScheme(text: string): [scheme: string, rest: string] {
  const [, scheme, rest] = /^([a-z][a-z\d+.-]*):(.*)$/is.exec(text) ?? []
  if (scheme !== undefined && rest !== undefined) return [scheme.toLowerCase(), rest]
  if (text.startsWith(':')) throw new WebAddressError('no scheme in it')
  return ['', text]
}

function parseAuthority(authority: string): Pick<WebAddress, 'userinfo' | 'hostname' | 'port'> {
  const at = authority.lastIndexOf('@')
  return {
    userinfo: at < 0 ? undefined : parseUserinfo(authority.slice(0, at)),
    ...parseHost(authority.slice(at + 1)),
  }
}

function parseUserinfo(text: string): WebAddress['userinfo'] {
  if (!/^[\w.:~!$&'()*+,;=%@-]*$/.test(text)) throw new WebAddressError('unexpected characters before the @')
  const colonAt = text.indexOf(':')
  const [name, password] = colonAt < 0 ? [text, ''] : [text.slice(0, colonAt), text.slice(colonAt + 1)]
  return { name: unescaped(name), password: unescaped(password) }
}

function parseHost(text: string): Pick<WebAddress, 'hostname' | 'port'> {
  const bracketed = /^\[([\da-f:.]+)(?:%25([^\]]+))?\](?::(\d*))?$/i.exec(text)
  if (bracketed !== null) {
    const [, ip = '', zone, port = ''] = bracketed
    return { hostname: zone === undefined ? ip : `${ip}%${unescaped(zone)}`, port }
  }
  const [, written, port = ''] = /^([^:[\]]*)(?::(\d*))?$/.exec(text) ?? []
  if (written === undefined) throw new WebAddressError('its host or port is none')
  // In a host only non-ASCII characters may be escaped.
  if (/%[0-7]/.test(written)) throw new WebAddressError('unexpected escapes in its host')
  const host = unescaped(written)
  if (/[\s\\^`{|}/?#@%]/.test(host)) throw new WebAddressError('unexpected characters in its host')
  if (!/[^\0-\x7f]/.test(host)) return { hostname: host, port }
  const ascii = domainToASCII(host)
  if (ascii === '') throw new WebAddressError('its host is no name')
  return { hostname: ascii, port }
}

/** A path ready to be sent: as written if that is valid, otherwise escaped again. */
function sendable(path: string): string {
  const plain = unescapedBytes(path)
  if (/^[\w.~!$&'()*+,;=:@[\]/%-]*$/.test(path)) return path
  return escaped(plain, /[\w.~$&+,/:;=@-]/)
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1)
}

/** RFC 3986 §5.2.4. */
function withoutDots(path: string): string {
  if (path === '') return ''
  const elements = path.replace(/^\//, '').split('/')
  const kept: string[] = []
  for (const element of elements) {
    if (element === '..') kept.pop()
    else if (element !== '.') kept.push(element)
  }
  const endsInDots = ['.', '..'].includes(elements.at(-1) ?? '')
  const joined = `/${kept.join('/')}${endsInDots && kept.length > 0 ? '/' : ''}`
  return joined.replace(/^\/\//, '/')
}

function unescaped(text: string): string {
  return unescapedBytes(text).toString('utf8')
}

function unescapedBytes(text: string): Buffer {
  if (/%(?![\da-f]{2})/i.test(text)) throw new WebAddressError('a % that escapes nothing')
  const binary = Buffer.from(text, 'utf8').toString('latin1')
  const plain = binary.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCodePoint(Number.parseInt(hex, 16)),
  )
  return Buffer.from(plain, 'latin1')
}

function escaped(bytes: Buffer, kept: RegExp): string {
  const characters = Array.from(bytes, (byte) => {
    const character = String.fromCodePoint(byte)
    return kept.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  })
  return characters.join('')
}

/** The text for Node's HTTP, which writes one byte per character. Blanks are escaped, since they would end the target. */
function wireText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1').replaceAll(' ', '%20')
}

function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
