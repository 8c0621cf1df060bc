// HTTP connections as Go's client makes them: kept alive, direct or through a proxy, over TLS with the host's trusted
// roots. One request gives one response or error. Redirects and the meaning of an answer are in url-verifier.ts.

import { Agent, request as plainRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { PeerCertificate, SecureContext } from 'node:tls'
import { sharedLookup } from './shared-lookup.ts'
import { proxyChoice, type ProxyChoice } from './proxy-choice.ts'
import { SecureTunnelAgent, TunnelAgent, type ProxyHop } from './proxy-tunnel.ts'
import { checkIdentity, trustOf } from './trusted-roots.ts'
import type { Environment } from './verifier.ts'
import { hostHeader, portOf, requestTarget, type WebAddress } from '#protocol/web-address.ts'

/** Idle connections are closed after 90 s, as by Go. */
const KEEP_ALIVE = { keepAlive: true, timeout: 90_000 }
/** More than any backend sends; Go accepts ten times as much. */
const HEAD_BYTES_MAX = 1_048_576
/** After this time the host's next address is tried: its first address family may be unreachable. */
const NEXT_ADDRESS_MS = 1_000

export interface Outgoing {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | undefined
}

type SendResult =
  | { readonly response: IncomingMessage }
  | { readonly error: Error; readonly isStale: boolean }

/** Where to connect for a request, directly or at a proxy, and the headers for the proxy. */
interface RequestPath {
  readonly isSecure: boolean
  readonly options: RequestOptions
  readonly headers: Readonly<Record<string, string>>
}

interface Agents {
  readonly plain: Agent
  /** Undefined until needed. */
  secure: TlsAgent | undefined
}

export class HttpConnections {
  readonly #proxyFor: ProxyChoice
  readonly #env: Environment
  /** By proxy; undefined: direct. */
  readonly #agents = new Map<WebAddress | undefined, Agents>()
  #trust: SecureContext | undefined = undefined

  constructor(env: Environment) {
    this.#env = env
    this.#proxyFor = proxyChoice(env)
  }

  /** One exchange up to the response's head. A kept connection that proves closed is replaced. */
  async send(address: WebAddress, outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
    for (;;) {
      const result = await this.#send(this.#pathTo(address), address, outgoing, signal)
      if ('response' in result) return result.response
      // The remote closed the connection while it was idle, before this request: the request is sent again.
      if (!result.isStale || signal.aborted) throw result.error
    }
  }

  /** Reads the trusted roots, up to some hundred files, so that no request waits for them. */
  prepare(): void {
    this.#trusted()
  }

  close(): void {
    for (const { plain, secure } of this.#agents.values()) {
      plain.destroy()
      secure?.destroy()
    }
  }

  async #send(
    path: RequestPath,
    address: WebAddress,
    { method, headers, body }: Outgoing,
    signal: AbortSignal,
  ): Promise<SendResult> {
    const { promise, resolve } = Promise.withResolvers<SendResult>()
    const length = body === undefined ? {} : { 'Content-Length': String(body.length) }
    const request = (path.isSecure ? tlsRequest : plainRequest)({
      ...path.options,
      method,
      headers: { Host: hostHeader(address), ...headers, ...length, ...path.headers },
      setHost: false,
      signal,
      // Go is lenient with line ends and more. Nothing of the answer is passed on.
      insecureHTTPParser: true,
      maxHeaderSize: HEAD_BYTES_MAX,
    })
    request.on('response', (response) => resolve({ response }))
    // Status 101 is an answer like any other.
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ response })
    })
    request.on('error', (error) => {
      const isUnconnected = request.socket === null || request.socket.connecting
      const text = isUnconnected ? 'no connection' : 'no answer'
      resolve({ error: signal.aborted ? new Error(text) : error, isStale: request.reusedSocket })
    })
    request.end(body)
    return await promise
  }

  #pathTo(address: WebAddress): RequestPath {
    const proxy = this.#proxyFor(address)
    const target = requestTarget(address)
    const isSecure = address.scheme === 'https'
    if (proxy !== undefined && proxy.scheme.startsWith('http') && !isSecure) {
      const absolute = `http://${hostHeader(address)}${target}`
      const options = { ...this.#connectOptions(proxy, undefined), path: absolute }
      return {
        isSecure: proxy.scheme === 'https',
        options,
        headers: authorization('Proxy-Authorization', proxy),
      }
    }
    return { isSecure, options: { ...this.#connectOptions(address, proxy), path: target }, headers: {} }
  }

  #connectOptions(address: WebAddress, proxy: WebAddress | undefined): RequestOptions {
    const { hostname, scheme } = address
    const options = {
      host: hostname,
      port: portOf(address),
      lookup: sharedLookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    }
    const agents = this.#agentsThrough(proxy)
    if (scheme !== 'https') return { ...options, agent: agents.plain }
    agents.secure ??= this.#secureAgent(proxy)
    const servername = isIP(hostname.split('%', 1)[0] ?? '') === 0 ? hostname.replace(/\.$/, '') : ''
    return Object.assign(options, {
      agent: agents.secure,
      servername,
      checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
        checkIdentity(hostname, certificate),
    })
  }

  #agentsThrough(proxy: WebAddress | undefined): Agents {
    const known = this.#agents.get(proxy)
    if (known !== undefined) return known
    const plain = proxy === undefined ? new Agent(KEEP_ALIVE) : new TunnelAgent(this.#hop(proxy), KEEP_ALIVE)
    const agents: Agents = { plain, secure: undefined }
    this.#agents.set(proxy, agents)
    return agents
  }

  #secureAgent(proxy: WebAddress | undefined): TlsAgent {
    const options = { ...KEEP_ALIVE, secureContext: this.#trusted() }
    return proxy === undefined ? new TlsAgent(options) : new SecureTunnelAgent(this.#hop(proxy), options)
  }

  #hop(proxy: WebAddress): ProxyHop {
    const options = { ...this.#connectOptions(proxy, undefined), secureContext: this.#trusted() }
    const headers = authorization('Proxy-Authorization', proxy)
    return { scheme: proxy.scheme, options, headers, userinfo: proxy.userinfo }
  }

  #trusted(): SecureContext {
    this.#trust ??= trustOf(this.#env)
    return this.#trust
  }
}

/** An authorization header with the address's userinfo, if it has any. */
export function authorization(name: string, { userinfo }: WebAddress): Record<string, string> {
  if (userinfo === undefined) return {}
  const text = Buffer.from(`${userinfo.name}:${userinfo.password}`, 'utf8').toString('base64')
  return { [name]: `Basic ${text}` }
}
