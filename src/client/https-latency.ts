// The latency of a region by HTTPS, as clients measure it where UDP is blocked: the time of one request for
// /derp/latency-check on an open connection to the first relay of the region that accepts TCP. A second request follows,
// which clients do not send, and the smaller time counts: the first time includes what the runtime needs to warm up.

import { DerpConnectError } from './connect-error.ts'
import { reachableNode, type ReachableNode } from './region-dial.ts'
import type { MapTrust } from './map-trust.ts'
import type { MapRegion } from './relay-map.ts'
import type { SharedResources } from './shared-resources.ts'
import { SocketLink } from './socket-link.ts'
import { resolveTarget } from './target.ts'

/** Clients accept no higher status. */
const STATUS_MAX = 299
/** A relay's answer has a few hundred bytes. */
const HEAD_BYTES_MAX = 8_192
/** Between the requests: until the first answer's body is there. */
const PAUSE_MS = 5
const NS_PER_MS = 1_000_000

export interface HttpsAccess {
  readonly trust: MapTrust
  readonly shared: SharedResources
  readonly signal: AbortSignal
}

/** @throws Error if no relay of the region answers as it should before the signal aborts */
export async function httpsLatencyNs(region: MapRegion, access: HttpsAccess): Promise<number> {
  const reachable = await reachableNode(region, access.signal)
  return await new LatencyRequest(reachable, access).answered
}

class LatencyRequest {
  readonly answered: Promise<number>
  readonly #result = Promise.withResolvers<number>()
  readonly #link: SocketLink
  readonly #request: Buffer
  #sentMs = 0
  #head = ''
  #firstNs: number | undefined
  #again: NodeJS.Timeout | undefined

  constructor(reachable: ReachableNode, { trust, shared, signal }: HttpsAccess) {
    const target = resolveTarget(trust.targetOf(reachable))
    this.#request = Buffer.from(`GET /derp/latency-check HTTP/1.1\r\nHost: ${target.hostField}\r\n\r\n`)
    const onAbort = (): void => this.#fail(new Error('time is over', { cause: signal.reason }))
    this.answered = this.#result.promise.finally(() => {
      signal.removeEventListener('abort', onAbort)
      clearTimeout(this.#again)
      this.#link.destroy()
    })
    const handler = {
      onOpen: () => this.#send(),
      onBytes: (buffer: Buffer, start: number, end: number) =>
        this.#onBytes(buffer.toString('latin1', start, end)),
      onEnded: () => undefined,
      onDrained: () => undefined,
      onClosed: (error: Error | undefined) =>
        this.#fail(error ?? new DerpConnectError('upgrade', `${target.name} closed the connection`)),
    }
    this.#link = new SocketLink(target, shared, handler, false)
    signal.addEventListener('abort', onAbort)
  }

  #onBytes(text: string): void {
    this.#head += text
    if (this.#head.length > HEAD_BYTES_MAX)
      return this.#fail(new Error('an answer without an end of its head'))
    // The body of the first answer may precede the second.
    const status = Number(/HTTP\/1\.[01] (\d{3})[^]*?\r\n\r\n/.exec(this.#head)?.[1] ?? 0)
    if (status === 0) return
    const ns = Math.max(1, Math.round((performance.now() - this.#sentMs) * NS_PER_MS))
    if (status < 200 || status > STATUS_MAX) {
      this.#fail(new DerpConnectError('upgrade', `/derp/latency-check answers ${status}`, { status }))
    } else if (this.#firstNs !== undefined) {
      this.#result.resolve(Math.min(this.#firstNs, ns))
    } else {
      this.#firstNs = ns
      this.#again = setTimeout(() => this.#send(), PAUSE_MS)
    }
  }

  #send(): void {
    this.#head = ''
    this.#sentMs = performance.now()
    this.#link.write(this.#request)
  }

  /** A server may close after its first answer. */
  #fail(error: Error): void {
    if (this.#firstNs === undefined) this.#result.reject(error)
    else this.#result.resolve(this.#firstNs)
  }
}
