// The admin port: HTTP on an address of the operator's choice, by default reachable from this machine alone. Answers
// GET and HEAD of a few pages and changes nothing. It is for probes and scrapers, so every request is short and
// connections are few; limits keep anything else from holding the control thread's memory.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { AdminConnections } from './admin-connections.ts'
import type { AdminPages, PageAnswer } from './admin-pages.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'

/** A head is one segment long and comes at once; slower is no scraper. */
const HEADERS_TIMEOUT_MS = 5_000
/** The whole request; there is no body to wait for. */
const REQUEST_TIMEOUT_MS = 10_000
/** How often the two limits above are enforced; Node's own 30 s would make them 35 and 40 s. */
const TIMEOUTS_CHECKED_MS = 1_000
/** Longer than the usual scrape intervals of up to a minute, so that a scraper keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000
/** A page goes into the socket's buffer as a whole; who takes nothing for this long has gone. */
const STALLED_TIMEOUT_MS = 30_000
/** Scrapers and browsers send about 1 KiB; 8 KiB is what most servers take. */
const HEAD_BYTES_MAX = 8_192
/** A pair of Prometheus servers, probes and a few people; each connection costs a descriptor. */
const CONNECTIONS_MAX = 64
/** Scrapers ask one thing at a time; so each connection holds no more than a page. */
const PENDING_REQUESTS_MAX = 8
/** Pages are made in milliseconds; whoever is not served by then has stopped reading. */
const CLOSE_GRACE_MS = 1_000

export interface AdminEndpoint {
  readonly host: string
  /** 0 asks the system for a free port. */
  readonly port: number
}

export class AdminServer {
  readonly #endpoint: AdminEndpoint
  readonly #pages: AdminPages
  readonly #log: Log
  readonly #server: Server
  readonly #connections = new AdminConnections(CONNECTIONS_MAX, PENDING_REQUESTS_MAX)

  constructor(endpoint: AdminEndpoint, pages: AdminPages, log: Log) {
    this.#endpoint = endpoint
    this.#pages = pages
    this.#log = log
    this.#server = createServer(
      {
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUTS_CHECKED_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        maxHeaderSize: HEAD_BYTES_MAX,
      },
      (request, response) => void this.#serve(request, response),
    )
    this.#server.on('connection', (socket) => this.#connections.add(socket))
    this.#server.timeout = STALLED_TIMEOUT_MS
  }

  /** Resolves to the address it listens on; rejects with one clear error when it can't. */
  async start(): Promise<AdminEndpoint> {
    const { host, port } = this.#endpoint
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      const refused = (error: Error): void => reject(listenError(this.#endpoint, error))
      server.once('error', refused)
      server.listen({ host, port }, () => {
        server.off('error', refused)
        resolve()
      })
    })
    server.on('error', (error) => this.#log.error(LogEvent.adminFailed, { error }))
    const address = server.address()
    return typeof address === 'object' && address !== null
      ? { host: address.address, port: address.port }
      : this.#endpoint
  }

  /** Stops listening, lets answers under way be taken, and ends all connections. */
  async close(): Promise<void> {
    const server = this.#server
    if (!server.listening) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    const impatience = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
    await closed
    clearTimeout(impatience)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      response.once('close', resolve)
    })
    if (!(await this.#connections.turn(request.socket, answered))) return
    try {
      send(response, await this.#answer(request))
    } catch (error) {
      // A page that can't be made is a fault of ours, but none that packets should suffer for.
      this.#log.error(LogEvent.adminPageFailed, { url: request.url, error })
      send(response, plain(500, 'this page could not be made; the log says why\n'))
    }
  }

  async #answer(request: IncomingMessage): Promise<PageAnswer> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return plain(405, 'only GET and HEAD\n')
    }
    const url = request.url ?? '/'
    const queryAt = url.indexOf('?')
    const path = queryAt < 0 ? url : url.slice(0, queryAt)
    const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1))
    const answer = await this.#pages.answer({ path, query, accept: request.headers.accept })
    return answer ?? plain(404, 'no such page; / lists those that are here\n')
  }
}

function plain(status: number, text: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', text }
}

function send(response: ServerResponse, { status, contentType, text }: PageAnswer): void {
  if (response.destroyed) return
  response.statusCode = status
  response.setHeader('Content-Type', contentType)
  response.setHeader('Content-Length', Buffer.byteLength(text))
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('Vary', 'Accept')
  if (status === 405) {
    response.setHeader('Allow', 'GET, HEAD')
    // Such a request may have a body, which nobody will read.
    response.setHeader('Connection', 'close')
  }
  response.end(text)
}

const REFUSALS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EACCES: 'may not be listened on by this user',
  EADDRNOTAVAIL: 'is not an address of this machine',
  ENOTFOUND: 'is a name that does not resolve',
}

function listenError({ host, port }: AdminEndpoint, cause: Error): Error {
  const code = 'code' in cause ? String(cause.code) : ''
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const what = REFUSALS[code] ?? `can't be listened on (${cause.message})`
  return new Error(`admin: ${where} ${what}; choose another with -admin HOST:PORT`, { cause })
}
