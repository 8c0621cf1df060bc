// The HTTP server of a port: owns an acceptor, holds every connection from its first byte to its last request, and answers
// each request with a page, unless the upgrade handler takes it (upgrade-handler.ts). Reading requests is
// http-connection.ts; the pages are http-pages.ts. Runs on each relay thread, and for the redirect port on the control thread.
//
// Contract: time and memory are bounded. A request or an answer that takes too long ends its connection. When all unfinished
// heads together exceed their limit, the connection that has buffered the longest is ended.

import type { AddressInfo } from 'node:net'
import { hasBody, hasToken, type HttpHead } from '#protocol/http-head.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { RemoteAddress } from '#relay/ports.ts'
import { TurnQueue } from '#relay/turn-queue.ts'
import type { AcceptBudget } from './accept-budget.ts'
import type { Acceptor, AcceptorHost } from './acceptor.ts'
import type { Connection } from './connection.ts'
import { httpAnswer, textPage, type HttpPage } from './http-pages.ts'
import { HttpConnection, type Request, type HttpConnectionHost } from './http-connection.ts'
import type { ListenAddress } from './listening-port.ts'
import type { UpgradeHandler } from './upgrade-handler.ts'

/** For receiving a request head, and then for sending the answer; derper allows 30 s as well. */
const REQUEST_TIMEOUT_MS = 30_000
/** Unfinished heads of all connections of this server: a thousand of the largest. All but a few heads arrive whole. */
const ALL_BUFFERED_BYTES_MAX = 16_777_216

/** Connections that go on after an answer, per turn of the event loop: as for logins, no more than packets hardly notice. */
const RESUMED_PER_TURN_MAX = 32
const RESUMED_PER_TURN_MS = 2

/** A token (RFC 9110 §5.6.2), in lower case. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

export interface HttpServerParts {
  readonly counters: Counters
  /** The relay's budget of new connections; undefined: no limit. */
  readonly accepts: AcceptBudget | undefined
  /** Whether an address may have one more connection. */
  readonly mayConnect: (ip: () => Uint8Array) => boolean
  /** Undefined: no request is an upgrade, and `/derp` is a path like any other. */
  readonly upgrades: UpgradeHandler | undefined
  /** How long a connection may wait for its next request. */
  readonly idleTimeoutMs: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Makes the acceptor, which reports to `host`. */
  acceptor(host: AcceptorHost): Promise<Acceptor>
  /** The page for a request that is no upgrade. A promise never rejects; nothing more is read until it has settled. */
  pageOf(head: HttpHead, remote: RemoteAddress): HttpPage | Promise<HttpPage>
}

export class HttpServer implements AcceptorHost, HttpConnectionHost {
  readonly #parts: HttpServerParts
  #accepts: AcceptBudget | undefined
  /** Undefined: that of the acceptor's settings. */
  #userTimeoutMs: number | undefined = undefined
  /** Connections with a request or an answer in progress, oldest first. */
  readonly #busy = new Set<HttpConnection>()
  /** Connections between two requests, oldest first. */
  readonly #idle = new Set<HttpConnection>()
  /** Connections with buffered bytes, oldest first. */
  readonly #buffering = new Set<HttpConnection>()
  #bufferedBytes = 0
  /** Connections whose answer was taken by the system wait here for their turn. */
  readonly #resumes: TurnQueue
  #acceptor: Acceptor | undefined = undefined
  #isRefusing = false

  constructor(parts: HttpServerParts) {
    this.#parts = parts
    this.#accepts = parts.accepts
    this.#resumes = new TurnQueue({
      perTurnMax: RESUMED_PER_TURN_MAX,
      perTurnMs: RESUMED_PER_TURN_MS,
      shareOfTurn: 0,
      now: parts.now,
      nextTurn: (callback) => void setImmediate(callback),
    })
  }

  /** Listens; with `isShared` the relay's other threads may listen on the same port. Rejects if listening fails. */
  async listen(endpoint: ListenAddress, isShared: boolean): Promise<AddressInfo> {
    this.#acceptor = await this.#parts.acceptor(this)
    if (this.#userTimeoutMs !== undefined) this.#acceptor.setUserTimeout(this.#userTimeoutMs)
    if (this.#isRefusing) throw new Error('connections are refused already')
    return await this.#acceptor.listen(endpoint, isShared)
  }

  /** Another budget of new connections from now on; undefined: no limit. */
  setAccepts(accepts: AcceptBudget | undefined): void {
    this.#accepts = accepts
  }

  /** How long a remote of a later connection may not acknowledge. */
  setUserTimeout(ms: number): void {
    this.#userTimeoutMs = ms
    this.#acceptor?.setUserTimeout(ms)
  }

  /** Ends connections that exceed a time limit; to be called a few times a second. */
  sweep(): void {
    this.#acceptor?.sweep()
    const nowMs = this.#parts.now()
    // Oldest first: after the first that is in time, all are.
    for (const http of this.#busy) {
      if (nowMs - http.sinceMs <= REQUEST_TIMEOUT_MS) break
      if (http.isAnswering) http.abort()
      else this.reject(http, '408 Request Timeout')
    }
    for (const http of this.#idle) {
      if (nowMs - http.sinceMs <= this.#parts.idleTimeoutMs) break
      http.close()
    }
  }

  /** Refuses connections from now on, and ends those that wait for their next request. Sessions stay. */
  stopListening(): void {
    this.#isRefusing = true
    this.#acceptor?.stopListening()
    for (const http of this.#idle) http.close()
  }

  /** Whether any connection waits for its first request or for an answer. */
  get isBusy(): boolean {
    return this.#busy.size > 0
  }

  /** Stops listening and ends every connection that was accepted here, sessions included. */
  async close(): Promise<void> {
    await this.#acceptor?.close()
  }

  // ── events of the acceptor ──

  tryAccept(ip: () => Uint8Array): boolean {
    const { counters, mayConnect } = this.#parts
    if (!mayConnect(ip)) return false
    const isAccepted = this.#accepts === undefined || this.#accepts.tryTake()
    counters.add(isAccepted ? Counter.connectionsAccepted : Counter.connectionsRejected, 1)
    return isAccepted
  }

  onConnection(connection: Connection): void {
    const http = new HttpConnection(connection, this)
    this.onBusy(http)
    connection.attach(http)
  }

  // ── events of HTTP connections ──

  onBusy(http: HttpConnection): void {
    this.#idle.delete(http)
    this.#busy.delete(http)
    http.sinceMs = this.#parts.now()
    this.#busy.add(http)
  }

  onIdle(http: HttpConnection): void {
    this.#busy.delete(http)
    http.sinceMs = this.#parts.now()
    this.#idle.add(http)
  }

  onDetached(http: HttpConnection): void {
    this.#busy.delete(http)
    this.#idle.delete(http)
  }

  onAnswered(resume: () => void): void {
    this.#resumes.run(resume)
  }

  onBufferChange(http: HttpConnection, moreBytes: number, isBuffering: boolean): void {
    this.#bufferedBytes += moreBytes
    if (isBuffering) this.#buffering.add(http)
    else this.#buffering.delete(http)
    if (this.#bufferedBytes <= ALL_BUFFERED_BYTES_MAX) return
    for (const oldest of this.#buffering) {
      this.#parts.counters.add(Counter.headsRefused, 1)
      return oldest.abort()
    }
  }

  onRequest(http: HttpConnection, request: Request): void {
    const { head } = request
    if (!isAnswerable(head)) return this.reject(http, '400 Bad Request')
    if (head.firstLine[0] === 'CONNECT') return this.reject(http, '403 Forbidden', 'CONNECT not enabled\n')
    const result = this.#parts.upgrades?.handle(http, request) ?? 'notAnUpgrade'
    if (result === 'handled') return
    const page = result === 'notAnUpgrade' ? this.#parts.pageOf(head, http.connection.remote) : result
    if (page instanceof Promise) return this.#answerLater(http, head, page)
    this.#answer(http, head, page)
  }

  /** Answers with an error page, which the remote may or may not read, and ends the connection. */
  reject(http: HttpConnection, status: string, text = `${status.slice(4)}\n`): void {
    this.#parts.counters.add(Counter.headsRefused, 1)
    http.answer(httpAnswer(textPage(status, text), { isHead: false, isLast: true }), true)
  }

  #answerLater(http: HttpConnection, head: HttpHead, page: Promise<HttpPage>): void {
    http.hold()
    void page.then((made) => {
      if (http.isOpen) this.#answer(http, head, made)
    })
  }

  #answer(http: HttpConnection, head: HttpHead, page: HttpPage): void {
    const isKept = head.firstLine[2] !== 'HTTP/1.0' && !hasToken(head.fields.get('connection'), 'close')
    const isLast = page.isLast === true || !isKept || hasBody(head)
    this.onBusy(http)
    http.answer(httpAnswer(page, { isHead: head.firstLine[0] === 'HEAD', isLast }), isLast)
  }
}

/**
 * Returns false for a head that no answer could be right for: one without Host, with an invalid field name, or with a value
 * that other HTTP implementations read differently.
 */
function isAnswerable({ firstLine, fields }: HttpHead): boolean {
  const version = firstLine[2]
  if (version !== 'HTTP/1.0' && !(version.startsWith('HTTP/1.') && fields.has('host'))) return false
  for (const [name, value] of fields) {
    if (!FIELD_NAME.test(name) || value.includes('\r') || value.includes('\0')) return false
  }
  return true
}
