// Admission by a URL such as Headscale's `/verify`: POST {NodePublic, Source} → {Allow}. Requests are made as derper makes
// them with Go's HTTP client: the same redirects, trusted roots, proxies and ports, and the same reading of the answer.
// Every error of Go's client is `unreachable` here, so that fail-open means the same. Runs on the control thread.

import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { publicKeyText } from '#protocol/node-key.ts'
import { firstValueEnd, readAllow } from './allow-response.ts'
import { failureText, isLocalFault } from './failure-text.ts'
import { authorization, HttpConnections } from './http-connections.ts'
import {
  ALLOWED,
  type Environment,
  type VerifierResult,
  type Verifier,
  type VerifyRequest,
} from './verifier.ts'
import {
  parseWebAddress,
  requestable,
  resolveReference,
  shownAddress,
  type WebAddress,
} from '#protocol/web-address.ts'

/** derper's limit for the whole exchange. */
const TIMEOUT_MS = 5_000
/** derper reads no more of an answer. */
const ANSWER_BYTES_MAX = 4_096
/** Go's limit, redirects included. */
const REQUESTS_MAX = 10

export class UrlVerifier implements Verifier {
  readonly name = 'url'
  readonly #address: WebAddress
  readonly #connections: HttpConnections

  /** @throws WebAddressError for an invalid URL; the settings have been checked for that */
  constructor(url: string, env: Environment) {
    this.#address = requestable(parseWebAddress(url))
    this.#connections = new HttpConnections(env)
    if (this.#address.scheme === 'https') this.#connections.prepare()
  }

  async verify({ key, source }: VerifyRequest, signal: AbortSignal): Promise<VerifierResult> {
    const body = Buffer.from(JSON.stringify({ NodePublic: publicKeyText(key), Source: source }))
    const timeout = AbortSignal.timeout(TIMEOUT_MS)
    try {
      const response = await this.#exchange(body, AbortSignal.any([signal, timeout]))
      if (response.statusCode === 200) return await this.#read(response)
      discard(response)
      return this.#resultOf(response.statusCode ?? 0)
    } catch (error) {
      const text = timeout.aborted
        ? `${failureText(error)} within ${TIMEOUT_MS / 1_000} s`
        : failureText(error)
      return {
        kind: isLocalFault(error) ? 'fault' : 'unreachable',
        reason: `${shownAddress(this.#address)}: ${text}`,
      }
    }
  }

  close(): void {
    this.#connections.close()
  }

  /** Follows redirects and returns the last response. */
  async #exchange(body: Uint8Array, signal: AbortSignal): Promise<IncomingMessage> {
    let address = this.#address
    let outgoing: { method: string; body: Uint8Array | undefined } = { method: 'POST', body }
    let referer: Record<string, string> = {}
    for (let count = 1; ; count++) {
      const headers = { ...COMMON_HEADERS, ...authorization('Authorization', address), ...referer }
      const response = await this.#connections.send(address, { ...outgoing, headers }, signal)
      const location = locationOf(response)
      if (location === undefined) return response
      discard(response)
      if (count === REQUESTS_MAX) throw new Error(`stopped after ${REQUESTS_MAX} redirects`)
      const next = requestable(resolveReference(address, location))
      referer = refererOf(address, next)
      // Other redirects ask for a page without the question; only 307 and 308 repeat it.
      if (![307, 308].includes(response.statusCode ?? 0)) outgoing = { method: 'GET', body: undefined }
      address = next
    }
  }

  async #read(response: IncomingMessage): Promise<VerifierResult> {
    const { isAllowed, budget } = readAllow(await readStart(response))
    if (isAllowed === true) return { ...ALLOWED, budget }
    const from = shownAddress(this.#address)
    if (isAllowed === false) return { kind: 'denied', reason: `${from} does not allow this key` }
    return {
      kind: 'unusable',
      reason: `${from} answered 200 without {"Allow": true or false}`,
    }
  }

  /** A status 4xx may be how the backend denies a client; any other status says nothing about the client. */
  #resultOf(status: number): VerifierResult {
    const isDenial = status >= 400 && status < 500 && !NOT_ABOUT_CLIENT.has(status)
    const kind = isDenial ? 'denied' : 'unusable'
    return { kind, reason: `${shownAddress(this.#address)} answered ${status}` }
  }
}

/** Statuses 4xx that are not about the client: proxy authentication, timeout, too many requests. */
const NOT_ABOUT_CLIENT: ReadonlySet<number> = new Set([407, 408, 429])

const COMMON_HEADERS = { 'User-Agent': 'derpfleet', 'Accept-Encoding': 'gzip' }

/** The address to follow; undefined without one, whatever the status. */
function locationOf({ statusCode = 0, headers }: IncomingMessage): string | undefined {
  if (![301, 302, 303, 307, 308].includes(statusCode)) return undefined
  const location = Buffer.from(headers.location ?? '', 'latin1').toString('utf8')
  return location === '' ? undefined : location
}

function refererOf(from: WebAddress, to: WebAddress): Record<string, string> {
  if (from.scheme === 'https' && to.scheme === 'http') return {}
  return { Referer: shownAddress(from) + (from.query === undefined ? '' : `?${from.query}`) }
}

/** The start of an answer: up to the end of its first JSON value, or to the limit. */
async function readStart(response: IncomingMessage): Promise<string> {
  const isZipped = response.headers['content-encoding']?.toLowerCase() === 'gzip'
  const source: Readable = isZipped ? response.pipe(createGunzip()) : response
  const { promise, resolve } = Promise.withResolvers<string>()
  let start = Buffer.alloc(0)
  const done = (): void => {
    resolve(start.toString('utf8'))
    source.off('data', take)
    source.resume()
    discard(response)
  }
  const take = (chunk: Buffer): void => {
    start = Buffer.concat([start, chunk]).subarray(0, ANSWER_BYTES_MAX)
    if (start.length === ANSWER_BYTES_MAX || firstValueEnd(start.toString('utf8')) !== undefined) done()
  }
  source.on('data', take)
  // An answer that breaks off is read as far as it came.
  for (const event of ['end', 'error', 'close']) source.on(event, done)
  // A complete one may still be in decompression.
  if (isZipped) response.on('close', () => response.complete || source.destroy())
  return await promise
}

/** Reads the rest of a short answer, so that its connection can be reused; ends the connection of a long one. */
function discard(response: IncomingMessage): void {
  let bytes = 0
  response.on('error', () => undefined)
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) response.destroy()
  })
}
