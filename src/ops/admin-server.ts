// The admin port: HTTP on an address that the operator chooses, by default reachable from this machine only. It answers
// GET and HEAD for a few pages and changes nothing; verbs, which may, are for callers with a token (token-verbs.ts). Its
// clients are probes and scrapers, so requests are short and connections few. Limits protect the control thread's memory
// from all other clients.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { AdminConnections } from './admin-connections.ts'
import type { PageAnswer, StreamAnswer } from './admin-page.ts'
import type { AdminPages } from './admin-pages.ts'
import { crossSiteProblem, isBrowser } from './browser-guard.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'
import { endServer } from './server-end.ts'
import type { TokenVerbs } from './token-verbs.ts'

/** A scraper's request head is one TCP segment, sent at once. */
const HEADERS_TIMEOUT_MS = 5_000
/** For the whole request. No page takes a body. */
const REQUEST_TIMEOUT_MS = 10_000
/** How often the two limits above are enforced. Node's default of 30 s would turn them into 35 and 40 s. */
const TIMEOUTS_CHECKED_MS = 1_000
/** Longer than the usual scrape intervals of up to a minute, so that a scraper keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000
/** A whole page is written to the socket at once. A client that reads nothing for this long is taken for dead. */
const STALLED_TIMEOUT_MS = 30_000
/** Scrapers and browsers send about 1 KiB; most servers accept 8 KiB. */
const HEAD_BYTES_MAX = 8_192
/** Room for a pair of Prometheus servers, probes and a few people. Each connection costs a file descriptor. */
const CONNECTIONS_MAX = 64
/** Scrapers send one request at a time. Each connection has at most one page in memory. */
const PENDING_REQUESTS_MAX = 8

export interface AdminEndpoint {
  readonly host: string
  /** 0: the system chooses a free port. */
  readonly port: number
  /** Of a socket that listens there already; undefined: a new one is made. */
  readonly descriptor?: number | undefined
}

export class AdminServer {
  readonly #endpoint: AdminEndpoint
  readonly #pages: AdminPages
  readonly #log: Log
  readonly #verbs: TokenVerbs | undefined
  readonly #server: Server
  /** A request has come, whatever its answer. */
  onRequest: () => void = () => undefined
  readonly #connections = new AdminConnections(CONNECTIONS_MAX, PENDING_REQUESTS_MAX)

  /** @param verbs for callers with a token; undefined: none */
  constructor(endpoint: AdminEndpoint, pages: AdminPages, log: Log, verbs?: TokenVerbs) {
    this.#endpoint = endpoint
    this.#pages = pages
    this.#log = log
    this.#verbs = verbs
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

  /** Resolves to the address that the server listens on; rejects with one clear error if it can't listen. */
  async start(): Promise<AdminEndpoint> {
    const { host, port, descriptor } = this.#endpoint
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error): void => reject(listenError(this.#endpoint, error))
      server.once('error', onError)
      // A later run of this relay listens there before an earlier one that hangs has given the port up.
      const at = descriptor === undefined ? { host, port, reusePort: true } : { fd: descriptor }
      server.listen(at, () => {
        server.off('error', onError)
        resolve()
      })
    })
    server.on('error', (error) => this.#log.error(LogEvent.adminFailed, { error }))
    const address = server.address()
    return typeof address === 'object' && address !== null
      ? { host: address.address, port: address.port }
      : this.#endpoint
  }

  /** Stops listening, lets clients read the answers under way, and closes all connections. */
  async close(): Promise<void> {
    await endServer(this.#server)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.onRequest()
    const answered = new Promise<void>((resolve) => {
      response.once('close', resolve)
    })
    if (!(await this.#connections.turn(request.socket, answered))) return
    try {
      if (this.#verbs?.takes(request) === true) return await this.#verbs.serve(request, response)
      const answer = await this.#answer(request)
      if ('text' in answer) return send(response, answer)
      if (request.method === 'HEAD') return send(response, plain(405, 'only GET is allowed\n'))
      if (!answer.open(response)) send(response, NO_ROOM)
    } catch (error) {
      // A bug in this program, but none that should stop the relaying of packets.
      this.#log.error(LogEvent.adminPageFailed, { url: request.url, error })
      send(response, plain(500, 'internal error; see admin_page_failed in the log\n'))
    }
  }

  async #answer(request: IncomingMessage): Promise<PageAnswer | StreamAnswer> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return plain(405, 'only GET and HEAD are allowed\n')
    }
    const problem = crossSiteProblem(request.headers)
    if (problem !== undefined) return plain(403, `${problem}\n`)
    const url = request.url ?? '/'
    const queryAt = url.indexOf('?')
    const path = queryAt < 0 ? url : url.slice(0, queryAt)
    const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1))
    const { accept, host, 'if-none-match': ifNoneMatch } = request.headers
    const { remoteAddress } = request.socket
    const by = { host, remoteAddress, isBrowser: isBrowser(request.headers) }
    const answer = await this.#pages.answer({ path, query, accept, ifNoneMatch, ...by })
    return answer ?? plain(404, 'no such page; / lists all pages\n')
  }
}

/** A browser's script tries again by itself. */
const NO_ROOM: PageAnswer = {
  status: 503,
  contentType: 'text/plain; charset=utf-8',
  text: 'as many browsers look at this page as may\n',
  headers: { 'Retry-After': '10' },
}

function plain(status: number, text: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', text }
}

function send(response: ServerResponse, { status, contentType, text, headers }: PageAnswer): void {
  if (response.destroyed) return
  response.statusCode = status
  response.setHeader('Content-Type', contentType)
  // The length of an answer that only says "not modified" would be that of the page.
  if (status !== 304) response.setHeader('Content-Length', Buffer.byteLength(text))
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('Vary', 'Accept')
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value)
  if (status === 405) {
    response.setHeader('Allow', 'GET, HEAD')
    // Such a request may have a body, which this server does not read.
    response.setHeader('Connection', 'close')
  }
  response.end(text)
}

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EACCES: 'requires privileges that this user does not have',
  EADDRNOTAVAIL: 'is not an address of this machine',
  ENOTFOUND: 'has a host name that does not resolve',
}

function listenError({ host, port }: AdminEndpoint, cause: Error): Error {
  const code = 'code' in cause ? String(cause.code) : ''
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const problem = LISTEN_PROBLEMS[code] ?? `can't be used (${cause.message})`
  return new Error(`admin: ${where} ${problem}; choose another address with -admin HOST:PORT`, { cause })
}
