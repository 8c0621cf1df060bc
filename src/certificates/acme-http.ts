// Requests to an ACME server (the certificate authority), each bounded in time and bytes. Follows no redirects: a server gives
// complete addresses in its directory, and a signed request is valid for one address only. Not the protocol, which is
// acme-session.ts's; how connections are made (proxies, trusted roots) is the sender's. Runs on the control thread.

import type { IncomingMessage } from 'node:http'
import { parseWebAddress, requestable, shownAddress, type WebAddress } from '#protocol/web-address.ts'
import { AcmeError, oneLine, type AcmeAnswer } from './acme-answer.ts'

/** Authorities answer within a second; a signed request may wait for a slow database. */
const REQUEST_MS_MAX = 30_000
/** A chain of certificates has less than 16 KiB; a directory or an order less than 4. */
const ANSWER_BYTES_MAX = 262_144

/** Makes one exchange up to the response's head. */
export interface HttpSender {
  send(
    address: WebAddress,
    outgoing: {
      readonly method: string
      readonly headers: Readonly<Record<string, string>>
      readonly body: Uint8Array | undefined
    },
    signal: AbortSignal,
  ): Promise<IncomingMessage>
}

export interface AcmeRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

export class AcmeHttp {
  readonly #sender: HttpSender
  readonly #signal: AbortSignal
  /** Of the last exchange: errors are explained by it. */
  #last: AcmeAnswer | undefined = undefined

  /** @param signal ends every request */
  constructor(sender: HttpSender, signal: AbortSignal) {
    this.#sender = sender
    this.#signal = signal
  }

  get last(): AcmeAnswer | undefined {
    return this.#last
  }

  get signal(): AbortSignal {
    return this.#signal
  }

  /** @throws AcmeError without an answer, and for a redirect */
  async send({ method, url, headers, body }: AcmeRequest): Promise<AcmeAnswer> {
    this.#last = undefined
    const address = addressOf(url)
    const timeout = AbortSignal.timeout(REQUEST_MS_MAX)
    const signal = AbortSignal.any([this.#signal, timeout])
    const outgoing = {
      method: method.toUpperCase(),
      headers: { ...headers, 'User-Agent': 'derpfleet' },
      body: body === undefined ? undefined : Buffer.from(body),
    }
    try {
      const response = await this.#sender.send(address, outgoing, signal)
      const answer = await read(response, signal)
      if (answer.status >= 300 && answer.status < 400) {
        throw new Error(`redirects to ${answer.headers['location'] ?? 'nowhere'}, which is not followed`)
      }
      this.#last = answer
      return answer
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason
      const text = timeout.aborted ? `no answer within ${REQUEST_MS_MAX / 1_000} s` : (error as Error).message
      throw new AcmeError('acme_unreachable', `${shownAddress(address)}: ${oneLine(text)}`, { cause: error })
    }
  }
}

/** @throws AcmeError for anything but an HTTPS URL: account and certificate would not be safe otherwise (RFC 8555 §6.1) */
function addressOf(url: string): WebAddress {
  try {
    const address = requestable(parseWebAddress(url))
    if (address.scheme === 'https') return address
  } catch {
    // Not a URL either.
  }
  const named = JSON.stringify(oneLine(url))
  throw new AcmeError('acme_refused', `the authority names ${named}; expected an https:// URL`)
}

async function read(response: IncomingMessage, signal: AbortSignal): Promise<AcmeAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  signal.addEventListener('abort', () => response.destroy(), { once: true })
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) throw new Error(`answered more than ${ANSWER_BYTES_MAX / 1_024} KiB`)
      chunks.push(chunk)
    }
  } finally {
    response.destroy()
  }
  const headers = Object.entries(response.headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
  )
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(headers),
    body: Buffer.concat(chunks).toString('utf8'),
  }
}
