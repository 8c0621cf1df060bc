// The pages that DERP clients and people request from a relay over HTTP: latency checks, captive-portal checks, bootstrap DNS and
// the home page; and the pages of the plain port. Sizes, headers and status are derper's, since clients were written against it.
// Pages are cheap to make, because clients measure the time of some of them. No I/O: a request head goes in, a page comes out,
// and `httpAnswer` makes its bytes.

import type { HttpHead } from '#protocol/http-head.ts'
import { pathOf } from '#protocol/upgrade.ts'

type Fields = readonly (readonly [string, string])[]

const BROWSER_FIELDS: Fields = [
  ['Strict-Transport-Security', 'max-age=63072000; includeSubDomains'],
  [
    'Content-Security-Policy',
    "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'; block-all-mixed-content; object-src 'none'",
  ],
  ['X-Frame-Options', 'DENY'],
  ['X-Content-Type-Options', 'nosniff'],
]

/** A challenge that is echoed: short, and of characters that are harmless in a header. */
const CHALLENGE = /^[a-zA-Z0-9.\-_:]{1,64}$/
const NO_CACHE = 'no-cache, no-store, must-revalidate, no-transform, max-age=0'
/** A host as it may appear in a URL, with or without a port. */
const HOST = /^([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?$/i

export interface HttpPages {
  readonly home: { readonly kind: 'page' | 'blank' } | { readonly kind: 'redirect'; readonly url: string }
  readonly isDerpEnabled: boolean
  /** The current JSON of `/bootstrap-dns`; empty if nothing is published. */
  bootstrapDns(): string
  /** The public status page; undefined: the operator shows none. */
  publicStatus?(): StatusPage | undefined
  /** A page that the operator has published under this path; undefined if there is none. */
  published?(path: string, head: HttpHead): HttpPage | undefined
}

/** The control thread makes it whenever a state changes. */
export interface StatusPage {
  readonly fields: Fields
  readonly body: string
}

/** The answer to a request. */
export interface HttpPage {
  readonly status: string
  readonly fields: Fields
  /** Undefined where HTTP allows no body. */
  readonly body: string | undefined
  /** The connection is closed after this page. */
  readonly isLast?: boolean
}

/** The page for any request on the DERP port that is no upgrade. */
export function pageOf(head: HttpHead, pages: HttpPages): HttpPage {
  const path = pathOf(head)
  switch (path) {
    case '/derp':
      return pages.isDerpEnabled
        ? textPage('426 Upgrade Required', 'DERP requires connection upgrade\n')
        : textPage('404 Not Found', 'derp server disabled\n')
    case '/derp/probe':
    case '/derp/latency-check':
      return latencyCheck(head)
    case '/generate_204':
      return noContent(head)
    case '/bootstrap-dns': {
      const fields: Fields = [...BROWSER_FIELDS, ['Content-Type', 'application/json']]
      return { status: '200 OK', fields, body: pages.bootstrapDns(), isLast: true }
    }
    case '/robots.txt': {
      const fields: Fields = [...BROWSER_FIELDS, ['Content-Type', 'text/plain; charset=utf-8']]
      return { status: '200 OK', fields, body: 'User-agent: *\nDisallow: /\n' }
    }
  }
  const status = path === '/status' && isRead(head) ? pages.publicStatus?.() : undefined
  if (status !== undefined) return { status: '200 OK', ...status }
  if (path === '/debug' || path.startsWith('/debug/')) {
    return textPage('403 Forbidden', 'debug access denied; metrics and health are on the admin port\n')
  }
  const published = pages.published?.(path, head)
  if (published !== undefined) return published
  return path.startsWith('/derpmap.')
    ? textPage('404 Not Found', 'no DERP map on this port; see -serve-map\n')
    : home(pages)
}

const CHALLENGE_PATH = '/.well-known/acme-challenge/'

/** The text that an authority fetches to verify the relay (RFC 8555 §8.3); undefined for a token that nobody has set. */
export type ChallengeText = (token: string) => Promise<string | undefined>

/**
 * The page for a request on the plain port: captive-portal checks, an authority's challenges, and a redirect to the TLS port for
 * everything else.
 *
 * @param challengeText undefined if the relay requests no certificates
 */
export function redirectPageOf(
  head: HttpHead,
  tlsPort: number,
  challengeText?: ChallengeText,
): HttpPage | Promise<HttpPage> {
  const path = pathOf(head)
  if (path === '/generate_204') return noContent(head)
  if (challengeText !== undefined && path.startsWith(CHALLENGE_PATH) && isRead(head)) {
    return challengePage(path.slice(CHALLENGE_PATH.length), challengeText)
  }
  if (!isRead(head)) return textPage('400 Bad Request', 'Use HTTPS\n')
  const [, host] = HOST.exec(head.fields.get('host') ?? '') ?? []
  if (host === undefined) return textPage('400 Bad Request', 'Bad Request\n')
  const target = head.firstLine[1].replace(/^https?:\/\/[^/]*/, '')
  const port = tlsPort === 443 ? '' : `:${tlsPort}`
  return { status: '302 Found', fields: [['Location', `https://${host}${port}${target}`]], body: '' }
}

/** Plain text with the headers of derper's errors. */
export function textPage(status: string, body: string, more: Fields = []): HttpPage {
  const type = ['Content-Type', 'text/plain; charset=utf-8'] as const
  return { status, fields: [type, ['X-Content-Type-Options', 'nosniff'], ...more], body }
}

/** A page as bytes. The answer to HEAD states the body's length and has no body. */
export function httpAnswer(
  page: HttpPage,
  { isHead, isLast }: { isHead: boolean; isLast: boolean },
): Uint8Array {
  let text = `HTTP/1.1 ${page.status}\r\nDate: ${new Date().toUTCString()}\r\n`
  for (const [name, value] of page.fields) {
    if (!isLast || name !== 'Connection') text += `${name}: ${value}\r\n`
  }
  if (page.body !== undefined) text += `Content-Length: ${Buffer.byteLength(page.body)}\r\n`
  if (isLast) text += 'Connection: close\r\n'
  text += '\r\n'
  return Buffer.from(isHead || page.body === undefined ? text : text + page.body)
}

function isRead({ firstLine }: HttpHead): boolean {
  return firstLine[0] === 'GET' || firstLine[0] === 'HEAD'
}

async function challengePage(token: string, challengeText: ChallengeText): Promise<HttpPage> {
  const text = await challengeText(token)
  return text === undefined
    ? textPage('404 Not Found', 'no such challenge\n')
    : { status: '200 OK', fields: [['Content-Type', 'application/octet-stream']], body: text }
}

function latencyCheck(head: HttpHead): HttpPage {
  if (!isRead(head)) return textPage('405 Method Not Allowed', 'bogus probe method\n')
  return { status: '200 OK', fields: [['Access-Control-Allow-Origin', '*']], body: '' }
}

function noContent(head: HttpHead): HttpPage {
  const challenge = head.fields.get('x-tailscale-challenge') ?? ''
  const echo: Fields = CHALLENGE.test(challenge) ? [['X-Tailscale-Response', `response ${challenge}`]] : []
  return { status: '204 No Content', fields: [...echo, ['Cache-Control', NO_CACHE]], body: undefined }
}

function home({ home: page, isDerpEnabled }: HttpPages): HttpPage {
  if (page.kind === 'redirect') return { status: '302 Found', fields: [['Location', page.url]], body: '' }
  const fields: Fields = [...BROWSER_FIELDS, ['Content-Type', 'text/html; charset=utf-8']]
  return { status: '200 OK', fields, body: page.kind === 'blank' ? '' : homePage(isDerpEnabled) }
}

function homePage(isDerpEnabled: boolean): string {
  return (
    '<!doctype html>\n<html lang="en"><title>DERP relay</title>\n<h1>DERP</h1>\n' +
    '<p>This is a <a href="https://tailscale.com/kb/1232/derp-servers">DERP</a> relay. It carries encrypted ' +
    'packets between devices of a private network that find no direct path, and can read none of them.</p>\n' +
    (isDerpEnabled ? '' : '<p>Relaying is <b>disabled</b> on this server.</p>\n') +
    '</html>\n'
  )
}
