// The pages that DERP clients and people ask a relay for over HTTP: latency checks, captive-portal checks,
// bootstrap DNS, the front page; and those of the plain port. Sizes, headers and status are what derper
// answers, since clients were written against it. Cheap on purpose: some of these are timed.

import type * as uWS from 'uWebSockets.js'

const BROWSER_HEADERS = [
  ['Strict-Transport-Security', 'max-age=63072000; includeSubDomains'],
  [
    'Content-Security-Policy',
    "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'; block-all-mixed-content; object-src 'none'",
  ],
  ['X-Frame-Options', 'DENY'],
  ['X-Content-Type-Options', 'nosniff'],
] as const

/** A challenge that is echoed: short, and of characters that can do no harm in a header. */
const CHALLENGE = /^[a-zA-Z0-9.\-_:]{1,64}$/
const NO_CACHE = 'no-cache, no-store, must-revalidate, no-transform, max-age=0'

export interface HttpPages {
  readonly home: { readonly kind: 'page' | 'blank' } | { readonly kind: 'redirect'; readonly url: string }
  readonly isDerpEnabled: boolean
  /** The JSON of `/bootstrap-dns` as it is now; empty when nothing is published. */
  bootstrapDns(): string
}

/** Everything on the DERP port that is not DERP. */
export function servePages(app: uWS.TemplatedApp, pages: HttpPages): void {
  app.any('/derp', (response, request) => answerDerp(response, request, pages))
  app.any('/derp/probe', answerLatencyCheck)
  app.any('/derp/latency-check', answerLatencyCheck)
  app.any('/generate_204', answerNoContent)
  app.any('/bootstrap-dns', (response, request) => {
    browserHeaders(response.writeStatus('200 OK')).writeHeader('Content-Type', 'application/json')
    sendLast(response, request, pages.bootstrapDns())
  })
  app.any('/robots.txt', (response, request) => {
    browserHeaders(response.writeStatus('200 OK')).writeHeader('Content-Type', 'text/plain; charset=utf-8')
    send(response, request, 'User-agent: *\nDisallow: /\n')
  })
  for (const path of ['/debug', '/debug/*']) {
    app.any(path, (response, request) => {
      response.writeStatus('403 Forbidden')
      sendText(response, request, 'debug access denied; metrics and health are on the admin port\n')
    })
  }
  app.any('/*', (response, request) => answerHome(response, request, pages))
}

/** The plain port beside a TLS one: portal checks, and the way to HTTPS for everything else. */
export function servePlainPages(app: uWS.TemplatedApp): void {
  app.any('/generate_204', answerNoContent)
  app.any('/*', (response, request) => {
    const method = request.getMethod()
    if (method !== 'get' && method !== 'head') {
      response.writeStatus('400 Bad Request')
      return sendText(response, request, 'Use HTTPS\n')
    }
    const query = request.getQuery()
    const target = request.getUrl() + (query === undefined || query === '' ? '' : `?${query}`)
    const host = request.getHeader('host').replace(/:\d+$/, '')
    response.writeStatus('302 Found').writeHeader('Location', `https://${host}${target}`)
    response.end()
  })
}

/** Ends a response whose status is written with plain text, as derper's errors look. */
export function sendText(response: uWS.HttpResponse, request: uWS.HttpRequest, text: string): void {
  response.writeHeader('Content-Type', 'text/plain; charset=utf-8')
  response.writeHeader('X-Content-Type-Options', 'nosniff')
  send(response, request, text)
}

/** Ends a response with its body; HEAD is told the length alone, which uWebSockets.js leaves to its user. */
function send(response: uWS.HttpResponse, request: uWS.HttpRequest, body: string): void {
  if (request.getMethod() === 'head') sendLength(response, body)
  else response.end(body)
}

/** The same, and the connection ends with it; after HEAD it may go on. */
function sendLast(response: uWS.HttpResponse, request: uWS.HttpRequest, body: string): void {
  if (request.getMethod() === 'head') sendLength(response, body)
  else response.end(body, true)
}

/** Written as a field: a length given to `endWithoutBody` leaves uWebSockets.js waiting for the body. */
function sendLength(response: uWS.HttpResponse, body: string): void {
  response.writeHeader('Content-Length', `${Buffer.byteLength(body)}`).endWithoutBody()
}

/** Only requests that ask for no upgrade arrive here, or those on a connection already used for HTTP. */
function answerDerp(response: uWS.HttpResponse, request: uWS.HttpRequest, pages: HttpPages): void {
  response.writeStatus(pages.isDerpEnabled ? '426 Upgrade Required' : '404 Not Found')
  response.writeHeader('Content-Type', 'text/plain; charset=utf-8')
  response.writeHeader('X-Content-Type-Options', 'nosniff')
  // The upgrade must be a connection's first request: whoever asks again must come in anew.
  const text = pages.isDerpEnabled ? 'DERP requires connection upgrade\n' : 'derp server disabled\n'
  sendLast(response, request, text)
}

function answerLatencyCheck(response: uWS.HttpResponse, request: uWS.HttpRequest): void {
  const method = request.getMethod()
  if (method !== 'get' && method !== 'head') {
    response.writeStatus('405 Method Not Allowed')
    return sendText(response, request, 'bogus probe method\n')
  }
  response.writeStatus('200 OK').writeHeader('Access-Control-Allow-Origin', '*').end()
}

function answerNoContent(response: uWS.HttpResponse, request: uWS.HttpRequest): void {
  const challenge = request.getHeader('x-tailscale-challenge')
  response.writeStatus('204 No Content')
  if (CHALLENGE.test(challenge)) response.writeHeader('X-Tailscale-Response', `response ${challenge}`)
  response.writeHeader('Cache-Control', NO_CACHE)
  response.endWithoutBody()
}

function answerHome(response: uWS.HttpResponse, request: uWS.HttpRequest, pages: HttpPages): void {
  if (pages.home.kind === 'redirect') {
    response.writeStatus('302 Found').writeHeader('Location', pages.home.url)
    response.end()
    return
  }
  browserHeaders(response.writeStatus('200 OK')).writeHeader('Content-Type', 'text/html; charset=utf-8')
  send(response, request, pages.home.kind === 'blank' ? '' : homePage(pages.isDerpEnabled))
}

function browserHeaders(response: uWS.HttpResponse): uWS.HttpResponse {
  for (const [name, value] of BROWSER_HEADERS) response.writeHeader(name, value)
  return response
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
