// Connections through a tunnelling proxy: HTTP CONNECT or SOCKS5. As agents of Node's HTTP client, so that these
// connections are kept alive like any other.

import { once } from 'node:events'
import { Agent, request as plainRequest, type ClientRequestArgs, type RequestOptions } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { hostPortText } from '#protocol/host-port.ts'

/** The request that needs the tunnel gives up at the same time. */
const TIMEOUT_MS = 5_000

export interface ProxyHop {
  readonly scheme: string
  /** How to reach the proxy, with TLS options if it speaks TLS. */
  readonly options: RequestOptions
  readonly headers: Readonly<Record<string, string>>
  /** For SOCKS5. */
  readonly userinfo: { readonly name: string; readonly password: string } | undefined
}

type Created = (error: Error | null, socket: Duplex) => void

/** For plain HTTP behind the proxy. */
export class TunnelAgent extends Agent {
  readonly #hop: ProxyHop

  constructor(hop: ProxyHop, options: ConstructorParameters<typeof Agent>[0]) {
    super(options)
    this.#hop = hop
  }

  override createConnection(target: ClientRequestArgs, created?: Created): undefined {
    openTunnel(this.#hop, target).then(
      (socket) => created?.(null, socket),
      (error: Error) => created?.(error, undefined as never),
    )
  }
}

/** For HTTPS behind the proxy. */
export class SecureTunnelAgent extends TlsAgent {
  readonly #hop: ProxyHop

  constructor(hop: ProxyHop, options: ConstructorParameters<typeof TlsAgent>[0]) {
    super(options)
    this.#hop = hop
  }

  override createConnection(target: ClientRequestArgs, created?: Created): undefined {
    openTunnel(this.#hop, target).then(
      (socket) => created?.(null, connectTls({ ...(target as ConnectionOptions), socket })),
      (error: Error) => created?.(error, undefined as never),
    )
  }
}

async function openTunnel(hop: ProxyHop, { host, port }: ClientRequestArgs): Promise<Socket> {
  const target = { host: host ?? '', port: Number(port) }
  return hop.scheme.startsWith('socks5') ? await throughSocks(hop, target) : await throughHttp(hop, target)
}

interface TunnelDestination {
  readonly host: string
  readonly port: number
}

async function throughHttp(hop: ProxyHop, { host, port }: TunnelDestination): Promise<Socket> {
  const authority = hostPortText(host, port)
  const request = (hop.scheme === 'https' ? tlsRequest : plainRequest)({
    ...hop.options,
    agent: false,
    method: 'CONNECT',
    path: authority,
    headers: { Host: authority, ...hop.headers },
    setHost: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  request.on('error', reject)
  // Only a refusal comes as a response; success is a `connect` event.
  request.on('response', (response) => {
    response.destroy()
    reject(new Error(`the proxy answered ${response.statusCode}`))
  })
  request.on('connect', (response, socket, head) => {
    if (response.statusCode === 200) {
      if (head.length > 0) socket.unshift(head)
      return resolve(socket)
    }
    socket.destroy()
    reject(new Error(`the proxy answered ${response.statusCode}`))
  })
  request.end()
  return await promise
}

/** RFC 1928, with the name resolved by the proxy, and RFC 1929. */
async function throughSocks(hop: ProxyHop, { host, port }: TunnelDestination): Promise<Socket> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const socket = connect({ host: hop.options.host ?? '', port: Number(hop.options.port) })
  try {
    await once(socket, 'connect', { signal })
    const { userinfo } = hop
    socket.write(userinfo === undefined ? Buffer.from([5, 1, 0]) : Buffer.from([5, 2, 0, 2]))
    const [, method] = await read(socket, 2, signal)
    if (method === 2 && userinfo !== undefined) {
      socket.write(
        Buffer.concat([Buffer.from([1]), lengthPrefixed(userinfo.name), lengthPrefixed(userinfo.password)]),
      )
      const [, status] = await read(socket, 2, signal)
      if (status !== 0) throw new Error('the proxy did not accept name and password')
    } else if (method !== 0) {
      throw new Error('the proxy requires a kind of login that is not supported')
    }
    const portBytes = Buffer.from([port >> 8, port & 0xff])
    socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3]), lengthPrefixed(host), portBytes]))
    const [, reply, , kind] = await read(socket, 4, signal)
    if (reply !== 0) throw new Error(`the proxy could not connect (SOCKS reply ${reply})`)
    // The address that the proxy connected from, which is not used.
    const addressBytes = kind === 1 ? 4 : kind === 4 ? 16 : ((await read(socket, 1, signal))[0] ?? 0)
    await read(socket, addressBytes + 2, signal)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

async function read(socket: Socket, bytes: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null
    if (chunk !== null && chunk.length === bytes) return chunk
    if (socket.readableEnded || socket.destroyed) throw new Error('the proxy closed the connection')
    await Promise.race([once(socket, 'readable', { signal }), once(socket, 'end', { signal })])
  }
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8').subarray(0, 255)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
