// From a dialled link to a DERP stream: chooses fast start, upgrade or WebSocket, sends the request and checks the answer.
// Ends by one call to its owner: the stream is open, or an error. Bytes behind the answer are the owner's. One time limit
// covers everything.
//
//   dial ── TLS ──┬─ key known:  request and greeting in one write ──► open
//                 ├─ upgrade:    request ── 101 ─────────────────────► open
//                 └─ websocket:  request ── 101 ─────────────────────► open

import { randomBytes } from 'node:crypto'
import { concatBytes } from '#protocol/bytes.ts'
import { DERP_PATH, upgradeRequest } from '#protocol/upgrade.ts'
import { DerpConnectError } from './connect-error.ts'
import { HttpAnswer, webSocketProblem, webSocketRequest } from './http-answer.ts'
import type { SecureFacts, SocketLink } from './socket-link.ts'
import type { Target } from './target.ts'

/** How a connection became a DERP stream. */
export type OpenedWay = 'fast-start' | 'upgrade' | 'websocket'

/** The connection that is being opened. */
export interface OpeningOwner {
  /** Fast start: returns the bytes to send in the same write as the request, since the server's key is known. */
  greet(serverKey: Uint8Array): Uint8Array | undefined
  onOpened(way: OpenedWay): void
  /** The link is being closed. */
  onFailed(error: DerpConnectError): void
}

/** A refusal's body only explains it, so it gets less than the whole time limit. */
const REFUSAL_TIMEOUT_MS = 1_000

export class Opening {
  readonly #target: Target
  readonly #link: SocketLink
  readonly #owner: OpeningOwner
  readonly #answer = new HttpAnswer()
  readonly #limit: NodeJS.Timeout
  #webSocketKey = ''
  #serverKey: Uint8Array | undefined
  #isRequested = false
  #isOver = false
  #refusalLimit: NodeJS.Timeout | undefined

  constructor(target: Target, link: SocketLink, owner: OpeningOwner) {
    this.#target = target
    this.#link = link
    this.#owner = owner
    const { connectTimeoutMs } = target
    this.#limit = setTimeout(() => this.fail(`not connected within ${connectTimeoutMs} ms`), connectTimeoutMs)
  }

  /** The server's key if it was known before the first frame: by meta certificate or options. */
  get serverKey(): Uint8Array | undefined {
    return this.#serverKey
  }

  /** The head of the HTTP answer as received; empty with fast start. */
  get answerHead(): string {
    return this.#answer.headText
  }

  /** The link is open: sends the request. */
  begin(secure: SecureFacts | undefined): void {
    const { way, hostField, idealNode } = this.#target
    this.#isRequested = true
    this.#serverKey = this.#target.serverKey ?? secure?.metaKey
    if (way === 'websocket') {
      this.#webSocketKey = randomBytes(16).toString('base64')
      this.#link.write(webSocketRequest(hostField, DERP_PATH, this.#webSocketKey))
    } else if (way !== 'upgrade' && this.#serverKey !== undefined) {
      const request = upgradeRequest(hostField, { isFastStart: true, idealNode })
      const greeting = this.#owner.greet(this.#serverKey)
      this.#link.write(greeting === undefined ? request : concatBytes(request, greeting))
      this.#succeed('fast-start')
    } else if (way === 'fast-start') {
      this.fail(`no meta certificate over TLS 1.3, which fast start needs (${secure?.protocol ?? 'no TLS'})`)
    } else {
      this.#link.write(upgradeRequest(hostField, { isFastStart: false, idealNode }))
    }
  }

  /** Reads bytes before the stream is open. Returns the position where the stream begins; `end` while it does not. */
  feed(buffer: Buffer, start: number, end: number): number {
    if (!this.#isRequested) {
      this.fail('the server sent bytes before the request')
      return end
    }
    const streamAt = this.#answer.feed(buffer, start, end)
    const { error, head, headText } = this.#answer
    if (error !== undefined) {
      this.#end(error)
    } else if (head !== undefined && this.#target.way === 'websocket') {
      const problem = webSocketProblem(head, this.#webSocketKey)
      if (problem === undefined) this.#succeed('websocket')
      else this.fail(`not a WebSocket for DERP: ${problem}`)
    } else if (head !== undefined) {
      this.#succeed('upgrade')
    } else if (headText !== '') {
      this.#refusalLimit ??= setTimeout(() => this.fail('refused'), REFUSAL_TIMEOUT_MS)
    }
    return this.#isOver ? streamAt : end
  }

  /** The link has closed before the stream was open. */
  onClosed(error: Error | undefined): void {
    if (error instanceof DerpConnectError) return this.#end(error)
    const { host, name, dialAddress } = this.#target
    const address = dialAddress === host ? name : `${name} (${dialAddress})`
    this.fail(
      `${address}: ${error === undefined ? 'the server closed the connection' : messageOf(error)}`,
      error,
    )
  }

  /** Ends the attempt: with the refusal if one has begun to arrive, else with this reason. */
  fail(reason: string, cause?: Error): void {
    const stage = this.#isRequested ? 'upgrade' : this.#link.stage
    this.#end(this.#answer.giveUp() ?? new DerpConnectError(stage, reason, { cause }))
  }

  #succeed(way: OpenedWay): void {
    this.#stop()
    this.#owner.onOpened(way)
  }

  #end(error: DerpConnectError): void {
    if (this.#isOver) return
    this.#stop()
    this.#link.destroy()
    this.#owner.onFailed(error)
  }

  #stop(): void {
    this.#isOver = true
    clearTimeout(this.#limit)
    clearTimeout(this.#refusalLimit)
  }
}

/** An attempt on several addresses fails with one error for each and no message of its own. */
function messageOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message
  return error.errors.map((one: unknown) => (one instanceof Error ? one.message : String(one))).join(', ')
}
