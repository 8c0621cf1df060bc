// Admission by the tailscaled of this host: allows clients whose node key it knows. Sends whois requests to its local API
// over its Unix socket. Runs on the control thread.

import { request, type IncomingMessage } from 'node:http'
import { publicKeyText } from '#protocol/node-key.ts'
import { failureText } from './failure-text.ts'
import { ALLOWED, type VerifierResult, type Verifier, type VerifyRequest } from './verifier.ts'

/** For the whole exchange. */
const TIMEOUT_MS = 5_000
/** An answer with a node, its owner and capabilities is a few kilobytes long. */
const ANSWER_BYTES_MAX = 1_048_576
/** The capability version that current clients of tailscaled's local API send. */
const TAILSCALE_CAP = '113'

export class TailscaledVerifier implements Verifier {
  readonly name = 'tailscaled'
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  async verify({ key }: VerifyRequest, signal: AbortSignal): Promise<VerifierResult> {
    const timeout = AbortSignal.timeout(TIMEOUT_MS)
    try {
      const response = await this.#whois(publicKeyText(key), AbortSignal.any([signal, timeout]))
      return resultOf(response.statusCode ?? 0, await readText(response))
    } catch (error) {
      const text = timeout.aborted ? `no answer within ${TIMEOUT_MS / 1_000} s` : failureText(error)
      return { kind: 'unreachable', reason: `${this.#socketPath}: ${text}` }
    }
  }

  async #whois(keyText: string, signal: AbortSignal): Promise<IncomingMessage> {
    const path = `/localapi/v0/whois?addr=${encodeURIComponent(keyText)}`
    const headers = { Host: 'local-tailscaled.sock', 'Tailscale-Cap': TAILSCALE_CAP }
    return await new Promise((resolve, reject) => {
      const whois = request({ socketPath: this.#socketPath, path, headers, signal }, resolve)
      whois.on('error', reject)
      whois.end()
    })
  }
}

/** Only an answer to the question is a decision. Anything else must not count as an unknown key, or no client could log in. */
function resultOf(status: number, text: string): VerifierResult {
  if (status === 404) return { kind: 'denied', reason: 'unknown to tailscaled' }
  if (status === 200) {
    return isJson(text) ? ALLOWED : { kind: 'unusable', reason: 'tailscaled answered 200 without JSON' }
  }
  if (status === 400 && text.includes("invalid 'addr' parameter")) {
    return { kind: 'unusable', reason: 'this tailscaled is too old: it cannot look up a node key' }
  }
  return { kind: 'unusable', reason: `tailscaled answered ${status}` }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) return ''
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
