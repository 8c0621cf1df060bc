// Who may log in, asked of whoever knows: a URL such as Headscale's `/verify`, the tailscaled of this host,
// or nobody when the operator keeps the relay open. Only decides; nothing is remembered.
//
// Contract: never throws and always answers. What can't be asked counts as refused, unless the operator
// chose otherwise for the URL.

import { request } from 'node:http'
import { publicKeyText } from '#protocol/node-key.ts'

/** As derper's. */
const URL_TIMEOUT_MS = 5_000
const SOCKET_TIMEOUT_MS = 5_000
/** An answer is a few bytes; what is longer is not one. */
const ANSWER_BYTES_MAX = 4_096
/** Logins of a reconnect storm queue here rather than at the back end, which is often a small program. */
const ASKED_AT_ONCE_MAX = 64
/** The capability version that clients of tailscaled's local API of today announce. */
const TAILSCALE_CAP = '113'

export interface AdmissionPolicy {
  readonly verifyUrl: string | undefined
  readonly verifyUrlFailOpen: boolean
  readonly tailscaledSocket: string | undefined
}

export interface Applicant {
  readonly key: Uint8Array
  /** IP in text, empty when unknown. */
  readonly source: string
}

/** Asks every back end that is configured; all must agree. */
export class AdmissionDesk {
  readonly #policy: AdmissionPolicy
  readonly #queue: (() => void)[] = []
  #asked = 0

  constructor(policy: AdmissionPolicy) {
    this.#policy = policy
  }

  /** Whether there is anybody to ask; otherwise everybody is admitted. */
  get isOpen(): boolean {
    return this.#policy.verifyUrl === undefined && this.#policy.tailscaledSocket === undefined
  }

  async decide(applicant: Applicant): Promise<boolean> {
    await this.#turn()
    try {
      return await this.#ask(applicant)
    } finally {
      this.#asked--
      this.#queue.shift()?.()
    }
  }

  async #turn(): Promise<void> {
    if (this.#asked >= ASKED_AT_ONCE_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#asked++
  }

  async #ask(applicant: Applicant): Promise<boolean> {
    const { tailscaledSocket, verifyUrl, verifyUrlFailOpen } = this.#policy
    if (tailscaledSocket !== undefined && !(await isKnownToTailscaled(tailscaledSocket, applicant)))
      return false
    if (verifyUrl === undefined) return true
    return await isAllowedByUrl(verifyUrl, applicant, verifyUrlFailOpen)
  }
}

/** POST {"NodePublic","Source"} → {"Allow"}. Only a transport failure can fail open. */
export async function isAllowedByUrl(url: string, applicant: Applicant, failOpen: boolean): Promise<boolean> {
  const body = JSON.stringify({ NodePublic: publicKeyText(applicant.key), Source: applicant.source })
  let response: Response
  try {
    const signal = AbortSignal.timeout(URL_TIMEOUT_MS)
    // Bytes rather than text, so that no Content-Type is sent: derper sends none.
    response = await fetch(url, { method: 'POST', body: Buffer.from(body), signal })
  } catch {
    return failOpen
  }
  if (response.status !== 200) {
    await response.body?.cancel()
    return false
  }
  return readAllow(await readBounded(response))
}

/** A 200 from the local API's whois means known; whatever else happens means no. */
async function isKnownToTailscaled(socketPath: string, applicant: Applicant): Promise<boolean> {
  const path = `/localapi/v0/whois?addr=${encodeURIComponent(publicKeyText(applicant.key))}`
  const headers = { Host: 'local-tailscaled.sock', 'Tailscale-Cap': TAILSCALE_CAP }
  return await new Promise((resolve) => {
    const asking = request({ socketPath, path, headers, timeout: SOCKET_TIMEOUT_MS }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asking.on('timeout', () => asking.destroy())
    asking.on('error', () => resolve(false))
    asking.end()
  })
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) return ''
      chunks.push(chunk)
    }
  } catch {
    return ''
  }
  return Buffer.concat(chunks).toString('utf8')
}

function readAllow(text: string): boolean {
  try {
    const fields = Object.entries(JSON.parse(text) as object)
    return fields.some(([name, value]) => name.toLowerCase() === 'allow' && value === true)
  } catch {
    return false
  }
}
