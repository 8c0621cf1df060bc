// Where and how a DERP client connects: the user's options, and the same checked and completed. The login's options are in
// client-login.ts. Every problem is an error that names the option, its value and the expected value.

import { isIP } from 'node:net'
import { KEY_BYTES } from '#protocol/limits.ts'
import { DERP_PATH } from '#protocol/upgrade.ts'
import { resolveProxy, type Proxy, type ProxyOptions } from './proxy.ts'
import type { SharedResources } from './shared-resources.ts'
import { verificationFor, type ServerTrust, type Verification } from './tls-verification.ts'

/** For DNS, TCP, TLS, HTTP and login together; the limit of Tailscale's clients. */
export const CONNECT_TIMEOUT_MS = 10_000
/** Servers send KeepAlive at least every 65 s; after two missing ones clients treat the connection as dead. */
const SILENCE_TIMEOUT_MS = 120_000

const TLS_PORT = 443
const PLAIN_PORT = 80

/**
 * How the connection becomes a DERP stream. `auto` logs in without waiting for an answer (fast start) if the server
 * presents its DERP key in a meta certificate over TLS 1.3, and upgrades otherwise. `fast-start` fails if the key is not
 * known beforehand. `upgrade` always waits for the 101. `websocket` uses RFC 6455.
 */
export type Way = 'auto' | 'fast-start' | 'upgrade' | 'websocket'

/** The server. Give either `url` or `host`; everything else has a default. */
export interface TargetOptions {
  /** `https://host[:port]`, `http://…` (plain), `wss://…` or `ws://…` (WebSocket); the path is `/derp` or none. */
  readonly url?: string
  /** DNS name or IP address, in place of `url`. */
  readonly host?: string
  /** With `host`: 443, or 80 when plain. */
  readonly port?: number
  /** With `host`: false for plaintext. With `url` the scheme decides. An object says how to verify. */
  readonly tls?: ServerTrust | false
  readonly way?: Way
  /** Name or address to dial instead of the host, for instance a private address behind a public name. */
  readonly dialAddress?: string
  /** Connects through this HTTP proxy, which looks up the name. */
  readonly proxy?: ProxyOptions
  /** Local address to dial from. One address has about 28,000 ports for one server. */
  readonly localAddress?: string
  /** Name of the region's first node, if this server is another one. */
  readonly idealNode?: string
  /** The server's DERP key (32 bytes) for fast start, if known otherwise than by the meta certificate. */
  readonly serverKey?: Uint8Array
  /** Limit for everything up to admission. Default 10 s. */
  readonly connectTimeoutMs?: number
  /** After this time without a whole frame the connection is closed. Default 120 s; Infinity for never. */
  readonly silenceTimeoutMs?: number
  /** Longest WebSocket message accepted from the server; browsers accept 32,768 bytes. Default: any. */
  readonly webSocketMessageBytesMax?: number
  /** Shared by many connections of one process; without it each has its own 64 KiB read buffer. */
  readonly shared?: SharedResources
}

/** A checked target. */
export interface Target {
  readonly host: string
  readonly port: number
  /** Host and port, for messages. */
  readonly name: string
  /** The Host field of the request, with the port if it is not the scheme's. */
  readonly hostField: string
  readonly dialAddress: string
  readonly localAddress: string | undefined
  readonly proxy: Proxy | undefined
  readonly tls: ServerTrust | false
  readonly verification: Verification
  readonly way: Way
  readonly idealNode: string | undefined
  readonly serverKey: Uint8Array | undefined
  readonly connectTimeoutMs: number
  readonly silenceTimeoutMs: number
  readonly webSocketMessageBytesMax: number
}

interface Address {
  readonly host: string
  readonly port: number | undefined
  readonly tls: ServerTrust | false
  readonly isWebSocket: boolean
}

/** Checks and completes a target. @throws RangeError that names an invalid option */
export function resolveTarget(options: TargetOptions): Target {
  const {
    host,
    port: givenPort,
    tls,
    isWebSocket,
  } = options.url === undefined ? fromHost(options) : fromUrl(options)
  const way = options.way ?? (isWebSocket ? 'websocket' : 'auto')
  const schemePort = tls === false ? PLAIN_PORT : TLS_PORT
  const port = givenPort ?? schemePort
  if (!Number.isInteger(port) || port < 1 || port > 65_535) fail('port', port, 'a port, 1 to 65535')
  if (isWebSocket && way !== 'websocket') fail('way', way, `"websocket", as the url's scheme says`)
  if (options.serverKey !== undefined && options.serverKey.length !== KEY_BYTES) {
    fail('serverKey', `${options.serverKey.length} bytes`, `${KEY_BYTES} bytes`)
  }
  if (way === 'fast-start' && tls === false && options.serverKey === undefined) {
    fail('way', way, 'a serverKey with it, since there is no meta certificate without TLS')
  }
  const bracketed = isIP(host) === 6 ? `[${host}]` : host
  return {
    host,
    port,
    name: `${bracketed}:${port}`,
    hostField: fieldText('host', port === schemePort ? bracketed : `${bracketed}:${port}`),
    dialAddress: options.dialAddress ?? host,
    localAddress: options.localAddress,
    proxy: options.proxy === undefined ? undefined : resolveProxy(options.proxy),
    tls,
    verification: verificationFor(host, tls === false ? {} : tls),
    way,
    idealNode: options.idealNode === undefined ? undefined : fieldText('idealNode', options.idealNode),
    serverKey: options.serverKey,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    silenceTimeoutMs: options.silenceTimeoutMs ?? SILENCE_TIMEOUT_MS,
    webSocketMessageBytesMax: options.webSocketMessageBytesMax ?? Number.POSITIVE_INFINITY,
  }
}

function fromHost(options: TargetOptions): Address {
  const { host, port, tls = {} } = options
  if (host === undefined || host === '') fail('host', host, 'a url or a host to connect to')
  return { host, port, tls, isWebSocket: false }
}

function fromUrl(options: TargetOptions): Address {
  const { url = '', host, port, tls = {} } = options
  if (host !== undefined || port !== undefined) fail('url', url, 'no host and no port beside it')
  const parsed = URL.parse(url)
  const scheme = /^(https?|wss?):$/.exec(parsed?.protocol ?? '')?.[1]
  if (parsed === null || scheme === undefined) fail('url', url, 'https, http, wss or ws and a host')
  if (parsed.pathname !== '/' && parsed.pathname !== DERP_PATH)
    fail('url', url, `the path ${DERP_PATH} or none`)
  const isPlain = scheme === 'http' || scheme === 'ws'
  if (!isPlain && tls === false) fail('tls', tls, `settings or nothing, since the url says ${scheme}`)
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? undefined : Number(parsed.port),
    tls: isPlain ? false : tls,
    isWebSocket: scheme.startsWith('ws'),
  }
}

/** A value that is part of a line of the request must not contain a line end. */
function fieldText(name: string, value: string): string {
  return /^[\x21-\x7e]+$/.test(value) ? value : fail(name, value, 'printable ASCII without spaces')
}

function fail(name: string, value: unknown, expected: string): never {
  throw new RangeError(`${name}: expected ${expected}, got ${JSON.stringify(value) ?? 'nothing'}`)
}
