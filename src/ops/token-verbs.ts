// The verbs on the admin port, for callers that hold the relay's token: `Authorization: Bearer TOKEN`. Without a token in the
// settings there are none. A request without the right token reaches no verb, not even one that only reads, and leaves a
// line; the token itself is never in one. Attempts are bounded for each address. Runs on the control thread.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isIPv6 } from 'node:net'
import { TokenBucket } from '#protocol/token-bucket.ts'
import type { LineLimit } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'
import { sendJson, type VerbCalls } from './verb-calls.ts'
import { denialLines, type VerbDenial, type VerbDenials } from './verb-denials.ts'

const PREFIX = '/v1/'
/**
 * Of wrong attempts of one address. A token has 128 bits or more, so guessing fails by itself; the limit keeps a guesser
 * from costing time. It is high enough for a script with an old token to be corrected without a wait of minutes.
 */
const ATTEMPTS_BURST = 10
const ATTEMPTS_PER_SECOND = 0.2
const RETRY_AFTER_S = '5'
/** Addresses that are remembered, some 100 bytes each. */
const ADDRESSES_MAX = 1_024

export interface TokenVerbsParts {
  readonly calls: VerbCalls
  /** What a caller must hold now; undefined: nobody may call. */
  readonly token: () => string | undefined
  readonly denials: VerbDenials
  readonly log: Log
}

export class TokenVerbs {
  readonly #parts: TokenVerbsParts
  /** Of addresses that have had a wrong token, the one that was added first in front. */
  readonly #attempts = new Map<string, TokenBucket>()
  readonly #lines: LineLimit<string>

  constructor(parts: TokenVerbsParts) {
    this.#parts = parts
    this.#lines = denialLines(parts.log)
  }

  /** Whether the request is for a verb, and verbs can be called here. */
  takes({ url = '' }: IncomingMessage): boolean {
    return url.startsWith(PREFIX) && this.#parts.token() !== undefined
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const address = addressOf(request)
    const denial = this.#denial(request, address)
    if (denial !== undefined) return this.#deny(response, address, denial)
    // A verb may take longer than a page: `drain` with `wait` takes as long as the drain.
    request.socket.setTimeout(0)
    await this.#parts.calls.serve(request, response, `token from ${address}`)
  }

  #denial({ headers }: IncomingMessage, address: string): VerbDenial | undefined {
    const token = this.#parts.token()
    const nowMs = performance.now()
    const place = placeOf(address)
    const attempts = this.#attempts.get(place) ?? new TokenBucket(ATTEMPTS_PER_SECOND, ATTEMPTS_BURST, nowMs)
    if (!attempts.tryTake(1, nowMs)) return 'too_many_attempts'
    const [, given] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? []
    if (token !== undefined && given !== undefined && isSame(given, token)) {
      this.#attempts.delete(place)
      return undefined
    }
    this.#remember(place, attempts)
    return given === undefined ? 'no_token' : 'wrong_token'
  }

  #remember(place: string, attempts: TokenBucket): void {
    const [oldest] = this.#attempts.keys()
    if (!this.#attempts.has(place) && this.#attempts.size >= ADDRESSES_MAX && oldest !== undefined) {
      this.#attempts.delete(oldest)
    }
    this.#attempts.set(place, attempts)
  }

  #deny(response: ServerResponse, address: string, reason: VerbDenial): void {
    const { denials, log } = this.#parts
    denials.count(reason)
    const words = reason.replaceAll('_', ' ')
    if (this.#lines.take(words)) log.warn(LogEvent.verbDenied, { address, reason: words })
    if (reason === 'too_many_attempts') {
      sendJson(
        response,
        429,
        { error: 'too many attempts without the right token' },
        { 'Retry-After': RETRY_AFTER_S },
      )
    } else {
      const error =
        reason === 'no_token' ? 'verbs need a token: Authorization: Bearer TOKEN' : 'the token is wrong'
      sendJson(response, 401, { error }, { 'WWW-Authenticate': 'Bearer' })
    }
  }
}

/** Takes as long for a token that is nearly right as for any other. */
function isSame(given: string, token: string): boolean {
  return timingSafeEqual(digest(given), digest(token))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function addressOf({ socket }: IncomingMessage): string {
  return (socket.remoteAddress ?? 'unknown').replace(/^::ffff:(?=\d+\.)/, '')
}

/** An attacker with IPv6 has at least a network of 64 bits, and its addresses count as one. */
function placeOf(address: string): string {
  if (!isIPv6(address)) return address
  const [front = '', back] = address.split('%', 1)[0]?.split('::') ?? []
  const groups = front === '' ? [] : front.split(':')
  const tail = back === undefined || back === '' ? [] : back.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - tail.length) }, () => '0')
  return [...groups, ...(back === undefined ? [] : zeros), ...tail].slice(0, 4).join(':')
}
