// The upgrade handler: turns an HTTP request into a session. A client asks for raw DERP after a `101`, for raw DERP without an
// answer (fast start), or for DERP in a WebSocket. In each case the session takes over the client's own connection, at its first
// request or at a later one. Not concerned with reading requests (http-connection.ts) or with pages (http-pages.ts). Runs on a
// relay thread.
//
// Contract: bytes behind the request head are the beginning of the stream, and the session receives them at once. A client
// in a hurry has sent its login with the request.

import type { HttpHead } from '#protocol/http-head.ts'
import { requestedProtocol } from '#protocol/upgrade.ts'
import { closeFrame } from '#protocol/web-socket.ts'
import { CloseCode } from '#protocol/web-socket-header.ts'
import { handshakeFault, subprotocolOf, switchingToWebSocket } from '#protocol/web-socket-handshake.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import type { Link, LinkListener } from '#relay/ports.ts'
import type { Connection } from './connection.ts'
import type { HttpConnection, Request } from './http-connection.ts'
import { textPage, type HttpPage } from './http-pages.ts'
import { WebSocketLink } from './web-socket-link.ts'

/** The wishes of the client's request that concern its session. */
export interface SessionWish {
  /** The session answers `101` before its first frame. */
  readonly wantsAnswer: boolean
  /** Name of the node that the client prefers in this region; empty if it is this one. */
  readonly idealNode: string
}

export interface UpgradeHandlerParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Opens a session on `link`; returns the listener of the link. */
  openSession(link: Link, wish: SessionWish): LinkListener
}

/** The result of a request; a page is the answer to a faulty WebSocket handshake. */
export type UpgradeResult = 'notAnUpgrade' | 'handled' | HttpPage

export class UpgradeHandler {
  readonly #parts: UpgradeHandlerParts

  constructor(parts: UpgradeHandlerParts) {
    this.#parts = parts
  }

  handle(http: HttpConnection, request: Request): UpgradeResult {
    const requested = requestedProtocol(request.head)
    if (requested.kind === 'http') return 'notAnUpgrade'
    if (requested.kind === 'webSocket') return this.#openWebSocket(http, request)
    this.#openRaw(http, request, requested)
    return 'handled'
  }

  #openRaw(
    http: HttpConnection,
    request: Request,
    { isFastStart, idealNode }: { readonly isFastStart: boolean; readonly idealNode: string },
  ): void {
    if (isFastStart) this.#parts.counters.add(Counter.fastStarts, 1)
    http.detach()
    const { connection } = http
    const listener = this.#parts.openSession(connection, { wantsAnswer: !isFastStart, idealNode })
    connection.attach(listener)
    passRemainder(connection, listener, request)
  }

  #openWebSocket(http: HttpConnection, request: Request): UpgradeResult {
    const { head } = request
    const fault = handshakeFault(head)
    if (fault !== undefined) return textPage(fault.status, fault.text, fault.fields)
    if (subprotocolOf(head) === 'derp') this.#startWebSocket(http, request)
    else refuseSubprotocol(http, head)
    return 'handled'
  }

  #startWebSocket(http: HttpConnection, request: Request): void {
    const { counters, now } = this.#parts
    counters.add(Counter.webSocketsAccepted, 1)
    http.detach()
    const link = new WebSocketLink(http.connection, switchingToWebSocket(request.head), now)
    link.attach(this.#parts.openSession(link, { wantsAnswer: false, idealNode: '' }))
    passRemainder(http.connection, link, request)
  }
}

/** The handshake succeeds, and the WebSocket is closed with the reason: a browser shows that to its script. */
function refuseSubprotocol(http: HttpConnection, head: HttpHead): void {
  const close = closeFrame(CloseCode.policy, 'expected the subprotocol derp')
  http.answer(Buffer.concat([switchingToWebSocket(head), close]), true)
}

/** Hands over the bytes behind the request. Reading may have been stopped after an earlier request. */
function passRemainder(connection: Connection, listener: LinkListener, { chunk, start, end }: Request): void {
  connection.resume()
  if (start < end) listener.receive(chunk, start, end)
}
