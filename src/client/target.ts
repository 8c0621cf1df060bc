// Where a DERP client connects to and how: the options as users give them, and the same checked and completed.
// Not the login: which key is proven, and with what claims, is client-login.ts. Every problem is an error that
// names the option, its value and what was expected.

import { isIP } from 'node:net'
import { KEY_BYTES } from '#protocol/limits.ts'
import { DERP_PATH } from '#protocol/upgrade.ts'
import type { SharedResources } from './shared-resources.ts'
import { verificationFor, type ServerTrust, type Verification } from './tls-verification.ts'

/** DNS, TCP, TLS, HTTP and login together: what Tailscale's clients allow. */
export const CONNECT_TIMEOUT_MS = 10_000
/** Servers send KeepAlive at least every 65 s; two missed in a row are a dead connection to every client. */
const SILENCE_TIMEOUT_MS = 120_000

const TLS_PORT = 443
const PLAIN_PORT = 80

/**
 * How to become a DERP stream. `auto` logs in without waiting for an answer (fast start) where the server
 * presents its DERP key in a meta certificate over TLS 1.3, and upgrades otherwise; `fast-start` fails where
 * the key is not known beforehand; `upgrade` always waits for the 101; `websocket` speaks RFC 6455.
 */
export type Way = 'auto' | 'fast-start' | 'upgrade' | 'websocket'

/** Where to connect. Give either `url` or `host`; all else has a default. */
export interface TargetOptions {
  /** `https://host[:port]`, `http://…` (plain), `wss://…` or `ws://…` (WebSocket); the path is `/derp` or none. */
  readonly url?: string
  /** DNS name or IP address, in place of `url`. */
  readonly host?: string
  /** With `host`: 443, or 80 when plain. */
  readonly port?: number
  /** With `host`: false is plaintext. With `url` the scheme decides; an object settles how to verify. */
  readonly tls?: ServerTrust | false
  readonly way?: Way
  /** Name or address to dial instead of the host, as a private address behind a public name. */
  readonly dialAddress?: string
  /** Local address to dial from. One address has at most some 28,000 ports for one server. */
  readonly localAddress?: string
  /** Name of the region's first node, said when this is another one. */
  readonly idealNode?: string
  /** The server's DERP key (32 bytes), if known by other means than its meta certificate: fast start uses it. */
  readonly serverKey?: Uint8Array
  /** Limit for everything up to admission. Default 10 s. */
  readonly connectTimeoutMs?: number
  /** Without a whole frame for this long the connection is given up. Default 120 s; Infinity is never. */
  readonly silenceTimeoutMs?: number
  /** Longest WebSocket message taken from the server; browsers take 32,768 bytes. Default: any. */
  readonly webSocketMessageBytesMax?: number
  /** What many connections of one process share; without it each has its own 64 KiB read buffer. */
  readonly shared?: SharedResources
}

/** A checked target. */
export interface Target {
  readonly host: string
  readonly port: number
  /** Host and port, for messages. */
  readonly name: string
  /** The Host field of the request: the port only where it is not the scheme's. */
  readonly hostField: string
  readonly dialAddress: string
  readonly localAddress: string | undefined
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

/** Checks and completes a target. @throws RangeError naming the option that can't be right */
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

/** What goes into a line of the request must not be able to end it. */
function fieldText(name: string, value: string): string {
  return /^[\x21-\x7e]+$/.test(value) ? value : fail(name, value, 'printable ASCII without spaces')
}

function fail(name: string, value: unknown, expected: string): never {
  throw new RangeError(`${name}: expected ${expected}, got ${JSON.stringify(value) ?? 'nothing'}`)
}
