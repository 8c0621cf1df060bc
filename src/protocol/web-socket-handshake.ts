// How an HTTP/1.1 connection becomes a WebSocket that carries DERP (RFC 6455 §4.2): checks a request and writes the answer.
// Refusals are derper's, in the same order.

import { createHash } from 'node:crypto'
import { hasToken, type HttpHead } from './http-head.ts'

/** RFC 6455 §1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const SUBPROTOCOL = 'derp'
/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/

/** A refused request, as the answer to it. */
export interface HandshakeFault {
  readonly status: string
  readonly text: string
  readonly fields: readonly (readonly [string, string])[]
}

const UPGRADE = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
] as const
const VERSION = [['Sec-WebSocket-Version', '13']] as const

/** What is wrong with a WebSocket request; undefined if nothing is. */
export function handshakeFault({ firstLine, fields, repeated }: HttpHead): HandshakeFault | undefined {
  const [method, , version] = firstLine
  if (version === 'HTTP/1.0') {
    return fault('426 Upgrade Required', `handshake request must be at least HTTP/1.1: "${version}"`)
  }
  const connection = fields.get('connection') ?? ''
  if (!hasToken(connection, 'upgrade')) {
    const text = `Connection header ${JSON.stringify(connection)} does not contain Upgrade`
    return fault('426 Upgrade Required', text, UPGRADE)
  }
  if (method !== 'GET') {
    return fault('405 Method Not Allowed', `handshake request method is not GET but "${method}"`)
  }
  const requested = fields.get('sec-websocket-version') ?? ''
  if (requested !== '13') {
    return fault(
      '400 Bad Request',
      `unsupported protocol version ${JSON.stringify(requested)}, expected 13`,
      VERSION,
    )
  }
  const keys =
    repeated?.has('sec-websocket-key') === true ? 'several' : (fields.get('sec-websocket-key') ?? '')
  if (KEY.test(keys)) return undefined
  return fault('400 Bad Request', 'expected one Sec-WebSocket-Key of 16 bytes in base64')
}

/** The agreed subprotocol as the client writes it; only `derp` is supported. */
export function subprotocolOf({ fields }: HttpHead): string | undefined {
  const offered = (fields.get('sec-websocket-protocol') ?? '').split(',')
  return offered.map((one) => one.trim()).find((one) => one.toLowerCase() === SUBPROTOCOL)
}

/** The answer to a valid request. Without extensions, which have no use for ciphertext. */
export function switchingToWebSocket(head: HttpHead): Uint8Array {
  const subprotocol = subprotocolOf(head)
  return Buffer.from(
    'HTTP/1.1 101 Switching Protocols\r\n' +
      'Connection: Upgrade\r\n' +
      'Upgrade: websocket\r\n' +
      (subprotocol === undefined ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`) +
      `Sec-WebSocket-Accept: ${webSocketAccept(head.fields.get('sec-websocket-key') ?? '')}\r\n` +
      '\r\n',
  )
}

/** The proof that a server has read this `Sec-WebSocket-Key` (RFC 6455 §4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_SUFFIX)
    .digest('base64')
}

function fault(status: string, text: string, fields: HandshakeFault['fields'] = []): HandshakeFault {
  return { status, text: `WebSocket protocol violation: ${text}\n`, fields }
}
