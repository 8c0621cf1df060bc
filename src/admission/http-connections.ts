// HTTP connections as Go's client makes them: kept and used again, direct or through a proxy, over TLS with what the host
// trusts. One request in, one response or error out; redirects and what an answer means are `url-verifier.ts`.

import { Agent, request as plainRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { PeerCertificate, SecureContext } from 'node:tls'
import { sharedLookup } from './shared-lookup.ts'
import { proxyChoice, type ProxyChoice } from './proxy-choice.ts'
import { SecureTunnelAgent, TunnelAgent, type ProxyHop } from './proxy-tunnel.ts'
import { checkIdentity, trustOf } from './trusted-roots.ts'
import { hostHeader, portOf, requestTarget, type WebAddress } from '#protocol/web-address.ts'

/** Idle connections are closed after 90 s, as Go's are. */
const KEPT = { keepAlive: true, timeout: 90_000 }
/** More than any back end sends; Go takes ten times as much. */
const HEAD_BYTES_MAX = 1_048_576
/** After this time another address of the host is tried; its first family may lead nowhere. */
const NEXT_ADDRESS_MS = 1_000

export interface Outgoing {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | undefined
}

type Attempt = { readonly response: IncomingMessage } | { readonly error: Error; readonly isStale: boolean }

/** The way to a back end: where to connect, and what to say there. */
interface Route {
  readonly isSecure: boolean
  readonly options: RequestOptions
  readonly headers: Readonly<Record<string, string>>
}

interface Agents {
  readonly plain: Agent
  /** Undefined until it is needed. */
  secure: TlsAgent | undefined
}

export class HttpConnections {
  readonly #proxyFor: ProxyChoice
  readonly #env: Readonly<Record<string, string | undefined>>
  /** By what they lead through: nothing, or a proxy. */
  readonly #agents = new Map<WebAddress | undefined, Agents>()
  #trust: SecureContext | undefined = undefined

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = env
    this.#proxyFor = proxyChoice(env)
  }

  /** One exchange up to the response's head. A kept connection that has turned out closed is replaced. */
  async send(address: WebAddress, outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
    for (;;) {
      const attempt = await this.#attempt(this.#route(address), address, outgoing, signal)
      if ('response' in attempt) return attempt.response
      // What the remote closed before it said anything was closed while idle: it may be asked again.
      if (!attempt.isStale || signal.aborted) throw attempt.error
    }
  }

  /** Reads what is trusted, so that no question has to wait for it: some hundred files. */
  prepare(): void {
    this.#trusted()
  }

  close(): void {
    for (const { plain, secure } of this.#agents.values()) {
      plain.destroy()
      secure?.destroy()
    }
  }

  async #attempt(
    route: Route,
    address: WebAddress,
    { method, headers, body }: Outgoing,
    signal: AbortSignal,
  ): Promise<Attempt> {
    const { promise, resolve } = Promise.withResolvers<Attempt>()
    const length = body === undefined ? {} : { 'Content-Length': String(body.length) }
    const asking = (route.isSecure ? tlsRequest : plainRequest)({
      ...route.options,
      method,
      headers: { Host: hostHeader(address), ...headers, ...length, ...route.headers },
      setHost: false,
      signal,
      // Go is lenient with line ends and more; the answer is the back end's, and nothing is passed on.
      insecureHTTPParser: true,
      maxHeaderSize: HEAD_BYTES_MAX,
    })
    asking.on('response', (response) => resolve({ response }))
    // Whoever switches protocols has answered 101, which is an answer.
    asking.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ response })
    })
    asking.on('error', (error) => {
      const isUnconnected = asking.socket === null || asking.socket.connecting
      const text = isUnconnected ? 'no connection' : 'no answer'
      resolve({ error: signal.aborted ? new Error(text) : error, isStale: asking.reusedSocket })
    })
    asking.end(body)
    return await promise
  }

  #route(address: WebAddress): Route {
    const proxy = this.#proxyFor(address)
    const path = requestTarget(address)
    const isSecure = address.scheme === 'https'
    if (proxy !== undefined && proxy.scheme.startsWith('http') && !isSecure) {
      const absolute = `http://${hostHeader(address)}${path}`
      const options = { ...this.#to(proxy, undefined), path: absolute }
      return {
        isSecure: proxy.scheme === 'https',
        options,
        headers: authorization('Proxy-Authorization', proxy),
      }
    }
    return { isSecure, options: { ...this.#to(address, proxy), path }, headers: {} }
  }

  #to(address: WebAddress, proxy: WebAddress | undefined): RequestOptions {
    const { hostname, scheme } = address
    const to = {
      host: hostname,
      port: portOf(address),
      lookup: sharedLookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    }
    const agents = this.#agentsThrough(proxy)
    if (scheme !== 'https') return { ...to, agent: agents.plain }
    agents.secure ??= this.#secureAgent(proxy)
    const servername = isIP(hostname.split('%', 1)[0] ?? '') === 0 ? hostname.replace(/\.$/, '') : ''
    return Object.assign(to, {
      agent: agents.secure,
      servername,
      checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
        checkIdentity(hostname, certificate),
    })
  }

  #agentsThrough(proxy: WebAddress | undefined): Agents {
    const known = this.#agents.get(proxy)
    if (known !== undefined) return known
    const plain = proxy === undefined ? new Agent(KEPT) : new TunnelAgent(this.#hop(proxy), KEPT)
    const agents: Agents = { plain, secure: undefined }
    this.#agents.set(proxy, agents)
    return agents
  }

  #secureAgent(proxy: WebAddress | undefined): TlsAgent {
    const options = { ...KEPT, secureContext: this.#trusted() }
    return proxy === undefined ? new TlsAgent(options) : new SecureTunnelAgent(this.#hop(proxy), options)
  }

  #hop(proxy: WebAddress): ProxyHop {
    const options = { ...this.#to(proxy, undefined), secureContext: this.#trusted() }
    const headers = authorization('Proxy-Authorization', proxy)
    return { scheme: proxy.scheme, options, headers, userinfo: proxy.userinfo }
  }

  #trusted(): SecureContext {
    this.#trust ??= trustOf(this.#env)
    return this.#trust
  }
}

/** A header with the userinfo of an address, if it has one. */
export function authorization(name: string, { userinfo }: WebAddress): Record<string, string> {
  if (userinfo === undefined) return {}
  const text = Buffer.from(`${userinfo.name}:${userinfo.password}`, 'utf8').toString('base64')
  return { [name]: `Basic ${text}` }
}
