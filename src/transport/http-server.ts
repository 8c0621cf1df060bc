// Where clients come in: one listener, TLS or plain, whose connections speak HTTP at first. Who asks for DERP, raw or in a
// WebSocket, gets a session of the relay on that very connection, with its first request or a later one; everybody else
// gets a page. Bytes that came with a head go along: a client in a hurry has sent its login. How a request is gathered is
// `http-connection.ts`, which pages there are `http-pages.ts`.

import type { AddressInfo } from 'node:net'
import { hasBody, hasToken, type HttpHead } from '#protocol/http-head.ts'
import { upgradeWish } from '#protocol/upgrade.ts'
import { CloseCode, closeFrame } from '#protocol/web-socket.ts'
import { handshakeFault, subprotocolOf, switchingToWebSocket } from '#protocol/web-socket-handshake.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { Link, LinkListener } from '#relay/ports.ts'
import { TurnQueue } from '#relay/turn-queue.ts'
import type { AcceptBudget } from './accept-budget.ts'
import type { Connection, Acceptor } from './connection.ts'
import { httpAnswer, textPage, type HttpPage } from './http-pages.ts'
import { HttpConnection, type Request, type HttpConnectionHost } from './http-connection.ts'
import { WebSocketLink } from './web-socket-link.ts'

/** For an HTTP head, and then for taking the answer; derper allows 30 s as well. */
const REQUEST_TIMEOUT_MS = 30_000
/** Unfinished heads of all connections of this server: a thousand as large as may be. Heads come whole but for a few. */
const HELD_BYTES_MAX = 16_777_216

/** A token (RFC 9110 §5.6.2), in lower case. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

export interface HttpServerParts {
  readonly counters: Counters
  /** False: `/derp` is answered like any other path. */
  readonly isDerpEnabled: boolean
  /** The relay's; undefined: as many as come. */
  readonly accepts: AcceptBudget | undefined
  /** How long a connection may wait for its next request. */
  readonly idleTimeoutMs: number
  readonly now: () => number
  /** Makes the way in, which asks and tells this server. */
  acceptor(host: AcceptorHost): Promise<Acceptor>
  /** Begins a session. */
  accept(link: Link, wish: { readonly wantsAnswer: boolean; readonly idealNode: string }): LinkListener
  /** What is answered to who asks for anything else. */
  pageOf(head: HttpHead): HttpPage
}

/** Answers of connections that had one before, in a turn: as logins, no more than what packets hardly notice. */
const FURTHER_PER_TURN_MAX = 32
const FURTHER_PER_TURN_MS = 2

/** What an acceptor asks and tells the HTTP server. */
export interface AcceptorHost {
  mayAccept(): boolean
  accepted(connection: Connection): void
}

export class HttpServer implements AcceptorHost, HttpConnectionHost {
  readonly #parts: HttpServerParts
  /** Who asks or is answered, oldest first. */
  readonly #busy = new Set<HttpConnection>()
  /** Who has been served, oldest first. */
  readonly #idle = new Set<HttpConnection>()
  /** Who holds memory, oldest first. */
  readonly #holders = new Set<HttpConnection>()
  #heldBytes = 0
  /** Requests behind others on their connection. */
  readonly #further: TurnQueue
  #acceptor: Acceptor | undefined = undefined

  constructor(parts: HttpServerParts) {
    this.#parts = parts
    this.#further = new TurnQueue({
      perTurnMax: FURTHER_PER_TURN_MAX,
      perTurnMs: FURTHER_PER_TURN_MS,
      now: parts.now,
      nextTurn: (callback) => void setImmediate(callback),
    })
  }

  /** Listens; `isShared` lets the relay's other threads listen on the same port. Rejects if it can't. */
  async listen(endpoint: { host: string; port: number }, isShared: boolean): Promise<AddressInfo> {
    this.#acceptor = await this.#parts.acceptor(this)
    return await this.#acceptor.listen(endpoint, isShared)
  }

  /** Ends those who have been connected without a request for too long. */
  sweep(): void {
    this.#acceptor?.sweep()
    const nowMs = this.#parts.now()
    // Oldest first: the rest are younger.
    for (const http of this.#busy) {
      if (nowMs - http.sinceMs <= REQUEST_TIMEOUT_MS) break
      if (http.isAnswering) http.dismiss()
      else this.misspoke(http, '408 Request Timeout')
    }
    for (const http of this.#idle) {
      if (nowMs - http.sinceMs <= this.#parts.idleTimeoutMs) break
      http.leave()
    }
  }

  /** Stops listening and ends every connection that came in here. */
  async close(): Promise<void> {
    await this.#acceptor?.close()
  }

  /** Every TCP connection, before any TLS. */
  mayAccept(): boolean {
    const { accepts, counters } = this.#parts
    const isAccepted = accepts === undefined || accepts.tryTake()
    counters.add(isAccepted ? Counter.connectionsAccepted : Counter.connectionsRejected, 1)
    return isAccepted
  }

  accepted(connection: Connection): void {
    const http = new HttpConnection(connection, this)
    this.begun(http)
    connection.attach(http)
  }

  // ── what visitors tell ──

  begun(http: HttpConnection): void {
    this.#idle.delete(http)
    this.#busy.delete(http)
    http.sinceMs = this.#parts.now()
    this.#busy.add(http)
  }

  taken(goOn: () => void): void {
    this.#further.pass(goOn)
  }

  served(http: HttpConnection): void {
    this.#busy.delete(http)
    http.sinceMs = this.#parts.now()
    this.#idle.add(http)
  }

  left(http: HttpConnection): void {
    this.#busy.delete(http)
    this.#idle.delete(http)
  }

  holds(http: HttpConnection, moreBytes: number, isHolder: boolean): void {
    this.#heldBytes += moreBytes
    if (isHolder) this.#holders.add(http)
    else this.#holders.delete(http)
    if (this.#heldBytes <= HELD_BYTES_MAX) return
    for (const oldest of this.#holders) {
      this.#parts.counters.add(Counter.headsRefused, 1)
      return oldest.dismiss()
    }
  }

  asked(http: HttpConnection, request: Request): void {
    const { head } = request
    if (!isAnswerable(head)) return this.misspoke(http, '400 Bad Request')
    if (head.firstLine[0] === 'CONNECT') {
      return this.misspoke(http, '403 Forbidden', 'CONNECT not enabled\n')
    }
    const wish = this.#parts.isDerpEnabled ? upgradeWish(head) : ({ kind: 'http' } as const)
    if (wish.kind === 'http') return this.#answer(http, head, this.#parts.pageOf(head))
    if (wish.kind === 'webSocket') return this.#openWebSocket(http, request)
    if (wish.isFastStart) this.#parts.counters.add(Counter.fastStarts, 1)
    http.release()
    const { connection } = http
    const listener = this.#parts.accept(connection, {
      wantsAnswer: !wish.isFastStart,
      idealNode: wish.idealNode,
    })
    connection.attach(listener)
    goOn(connection, listener, request)
  }

  /** Answers in HTTP, in case somebody reads it, and ends the connection. */
  misspoke(http: HttpConnection, status: string, text = `${status.slice(4)}\n`): void {
    this.#parts.counters.add(Counter.headsRefused, 1)
    http.answer(httpAnswer(textPage(status, text), { isHead: false, isLast: true }), true)
  }

  #answer(http: HttpConnection, head: HttpHead, page: HttpPage): void {
    const isKept = head.firstLine[2] !== 'HTTP/1.0' && !hasToken(head.fields.get('connection'), 'close')
    const isLast = page.isLast === true || !isKept || hasBody(head)
    this.begun(http)
    http.answer(httpAnswer(page, { isHead: head.firstLine[0] === 'HEAD', isLast }), isLast)
  }

  #openWebSocket(http: HttpConnection, request: Request): void {
    const { counters, now } = this.#parts
    const { head } = request
    const fault = handshakeFault(head)
    if (fault !== undefined) {
      return this.#answer(http, head, textPage(fault.status, fault.text, fault.fields))
    }
    const answer = switchingToWebSocket(head)
    if (subprotocolOf(head) !== 'derp') {
      const close = closeFrame(CloseCode.policy, 'expected the subprotocol derp')
      return http.answer(Buffer.concat([answer, close]), true)
    }
    counters.add(Counter.webSocketsAccepted, 1)
    http.release()
    const link = new WebSocketLink(http.connection, answer, now)
    link.attach(this.#parts.accept(link, { wantsAnswer: false, idealNode: '' }))
    goOn(http.connection, link, request)
  }
}

/** What came with a request belongs to the stream that it begins; after an earlier request, reading may have stopped. */
function goOn(connection: Connection, listener: LinkListener, { chunk, start, end }: Request): void {
  connection.resume()
  if (start < end) listener.receive(chunk, start, end)
}

/** What no answer could be right for: no Host, a name that is none, a value that is read otherwise by others. */
function isAnswerable({ firstLine, fields }: HttpHead): boolean {
  const version = firstLine[2]
  if (version !== 'HTTP/1.0' && !(version.startsWith('HTTP/1.') && fields.has('host'))) return false
  for (const [name, value] of fields) {
    if (!FIELD_NAME.test(name) || value.includes('\r') || value.includes('\0')) return false
  }
  return true
}
