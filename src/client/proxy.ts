// A way through an HTTP proxy: the user's options, checked, and the request for a tunnel (CONNECT, RFC 9110 §9.3.6) on a
// connection to the proxy. What comes behind the proxy's answer is the server's. The proxy looks up the server's name.

import type { Socket } from 'node:net'
import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead } from '#protocol/http-head.ts'
import { DerpConnectError } from './connect-error.ts'

export interface ProxyOptions {
  /** `http://host[:port]`; the port is 80 without one. */
  readonly url: string
  /** `user:password`, sent as Basic. Not in the URL, since URLs are logged. */
  readonly credentials?: string
}

export interface Proxy {
  readonly host: string
  readonly port: number
  /** Host and port, for messages. */
  readonly name: string
  readonly authorization: string | undefined
}

const HTTP_PORT = 80

/** @throws RangeError that names what is invalid */
export function resolveProxy({ url, credentials }: ProxyOptions): Proxy {
  const parsed = URL.parse(url)
  const isUsable = parsed?.protocol === 'http:' && parsed.pathname === '/' && parsed.search === ''
  if (!isUsable) throw new RangeError(`proxy: expected http:// and a host, got ${JSON.stringify(url)}`)
  if (parsed.username !== '' || parsed.password !== '') {
    throw new RangeError('proxy: expected no user in the url; credentials have an option of their own')
  }
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? HTTP_PORT : Number(parsed.port),
    name: parsed.host,
    authorization:
      credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
  }
}

/**
 * Asks for a tunnel on a connected socket, and calls back when it is there: from then on the socket is the server's. A socket
 * whose proxy refuses is destroyed with a DerpConnectError.
 *
 * @param authority host and port of the server
 */
export function askForTunnel(socket: Socket, proxy: Proxy, authority: string, onTunnel: () => void): void {
  const authorization =
    proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`
  let received = Buffer.alloc(0)
  const fail = (problem: string, status?: number): void => {
    const detail = status === undefined ? {} : { status }
    socket.destroy(new DerpConnectError('dial', `the proxy ${proxy.name} ${problem}`, detail))
  }
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk])
    const end = httpHeadEnd(received, 0, received.length)
    if (end < 0) {
      if (received.length > HTTP_HEAD_BYTES_MAX) fail('sent an answer without an end')
      return
    }
    socket.off('data', onData)
    const [version, status, reason] = parseHttpHead(received, 0, end)?.firstLine ?? ['', '', '']
    if (!version.startsWith('HTTP/1.')) fail('did not answer in HTTP/1.1')
    else if (!/^2\d\d$/.test(status)) fail(`answered ${`${status} ${reason}`.trim()}`, Number(status))
    // No server of DERP speaks first, be it with TLS or without.
    else if (end < received.length) fail('sent bytes before the request to the server')
    else onTunnel()
  }
  socket.on('data', onData)
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`)
}
