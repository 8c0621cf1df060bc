// How an HTTP/1.1 connection becomes a WebSocket that carries DERP (RFC 6455 §4.2): what is wrong with a request, and the
// answer to one that is right. Refusals are derper's, whose library checks the same in the same order.

import { createHash } from 'node:crypto'
import { hasToken, type HttpHead } from './http-head.ts'

/** RFC 6455 §1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const SUBPROTOCOL = 'derp'
/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/

/** Why a request is refused, as an answer. */
export interface HandshakeFault {
  readonly status: string
  readonly text: string
  readonly fields: readonly (readonly [string, string])[]
}

/** What is wrong with a request for a WebSocket; undefined when nothing is. */
export function handshakeFault({ firstLine, fields, repeated }: HttpHead): HandshakeFault | undefined {
  const upgrade = [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
  ] as const
  if (firstLine[2] === 'HTTP/1.0')
    return fault('426 Upgrade Required', 'WebSocket needs HTTP/1.1 or higher', upgrade)
  if (!hasToken(fields.get('connection'), 'upgrade')) {
    return fault('426 Upgrade Required', 'the field Connection does not say Upgrade', upgrade)
  }
  if (firstLine[0] !== 'GET') return fault('405 Method Not Allowed', 'WebSocket needs the method GET')
  if (fields.get('sec-websocket-version') !== '13') {
    const version = [['Sec-WebSocket-Version', '13']] as const
    return fault('400 Bad Request', 'unsupported WebSocket protocol version, expected 13', version)
  }
  const isOneKey =
    repeated?.has('sec-websocket-key') !== true && KEY.test(fields.get('sec-websocket-key') ?? '')
  return isOneKey
    ? undefined
    : fault('400 Bad Request', 'expected one Sec-WebSocket-Key of 16 bytes in base64')
}

/** The subprotocol that is agreed on, as the client writes it; only `derp` itself is served. */
export function subprotocolOf({ fields }: HttpHead): string | undefined {
  const asked = (fields.get('sec-websocket-protocol') ?? '').split(',')
  return asked.map((one) => one.trim()).find((one) => one.toLowerCase() === SUBPROTOCOL)
}

/** The answer to a request that is right. No extensions: none is of use for ciphertext. */
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

/** What proves that a server has read this `Sec-WebSocket-Key` (RFC 6455 §4.2.2). */
export function webSocketAccept(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_SUFFIX)
    .digest('base64')
}

function fault(status: string, text: string, fields: HandshakeFault['fields'] = []): HandshakeFault {
  return { status, text: `${text}\n`, fields }
}
