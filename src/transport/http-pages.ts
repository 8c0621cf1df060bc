// The pages that DERP clients and people ask a relay for over HTTP: latency checks, captive-portal checks,
// bootstrap DNS, the front page; and those of the plain port. Sizes, headers and status are what derper
// answers, since clients were written against it. Cheap on purpose: some of these are timed. No I/O: a request's head
// goes in, a page comes out, and `httpAnswer` has its bytes.

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

/** A challenge that is echoed: short, and of characters that can do no harm in a header. */
const CHALLENGE = /^[a-zA-Z0-9.\-_:]{1,64}$/
const NO_CACHE = 'no-cache, no-store, must-revalidate, no-transform, max-age=0'
/** A host as it may stand in a URL, with a port or without. */
const HOST = /^([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?$/i

export interface HttpPages {
  readonly home: { readonly kind: 'page' | 'blank' } | { readonly kind: 'redirect'; readonly url: string }
  readonly isDerpEnabled: boolean
  /** The JSON of `/bootstrap-dns` as it is now; empty when nothing is published. */
  bootstrapDns(): string
}

/** What is answered to a request; undefined as body where HTTP allows none. */
export interface HttpPage {
  readonly status: string
  readonly fields: Fields
  readonly body: string | undefined
  /** The connection ends with it. */
  readonly isLast?: boolean
}

/** Everything on the DERP port that is not DERP. */
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
  if (path === '/debug' || path.startsWith('/debug/')) {
    return textPage('403 Forbidden', 'debug access denied; metrics and health are on the admin port\n')
  }
  return home(pages)
}

/** The plain port beside a TLS one: portal checks, and the way to HTTPS, on that port, for everything else. */
export function redirectPageOf(head: HttpHead, tlsPort: number): HttpPage {
  if (pathOf(head) === '/generate_204') return noContent(head)
  if (!isRead(head)) return textPage('400 Bad Request', 'Use HTTPS\n')
  const [, host] = HOST.exec(head.fields.get('host') ?? '') ?? []
  if (host === undefined) return textPage('400 Bad Request', 'Bad Request\n')
  const target = head.firstLine[1].replace(/^https?:\/\/[^/]*/, '')
  const port = tlsPort === 443 ? '' : `:${tlsPort}`
  return { status: '302 Found', fields: [['Location', `https://${host}${port}${target}`]], body: '' }
}

/** Plain text, as derper's errors look. */
export function textPage(status: string, body: string, more: Fields = []): HttpPage {
  const type = ['Content-Type', 'text/plain; charset=utf-8'] as const
  return { status, fields: [type, ['X-Content-Type-Options', 'nosniff'], ...more], body }
}

/** A page as bytes. To HEAD the length is told and nothing else. */
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
