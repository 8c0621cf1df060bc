// How an HTTP/1.1 connection becomes a DERP stream: the native request, the protocol that a request asks for, and the exact
// bytes of the answer. Method, minor version, Connection, Host and query are not checked, as in derper.

import { toHex } from './bytes.ts'
import type { HttpHead } from './http-head.ts'
import { PROTOCOL_VERSION } from './limits.ts'

export const DERP_PATH = '/derp'
/** Longer than any node's name. A relay keeps the name as long as the session. */
const NODE_NAME_CHARS_MAX = 63

/** A raw DERP stream, with or without an answer first; DERP in a WebSocket; or any other request. */
export type RequestedProtocol =
  | { readonly kind: 'derp'; readonly isFastStart: boolean; readonly idealNode: string }
  | { readonly kind: 'webSocket' }
  | { readonly kind: 'http' }

/** The protocol that a request asks for. A WebSocket without the subprotocol `derp` means raw DERP, as old clients sent it. */
export function requestedProtocol(head: HttpHead): RequestedProtocol {
  const upgrade = head.fields.get('upgrade')?.toLowerCase()
  if (pathOf(head) !== DERP_PATH || (upgrade !== 'derp' && upgrade !== 'websocket')) return { kind: 'http' }
  const isWebSocket =
    upgrade === 'websocket' && (head.fields.get('sec-websocket-protocol') ?? '').includes('derp')
  if (isWebSocket) return { kind: 'webSocket' }
  return {
    kind: 'derp',
    isFastStart: head.fields.get('derp-fast-start') === '1',
    idealNode: nodeName(head.fields.get('ideal-node') ?? ''),
  }
}

/** The path of a request, without its query, whether its target is a path or a URL. */
export function pathOf(head: HttpHead): string {
  return (head.firstLine[1].split('?')[0] ?? '').replace(/^https?:\/\/[^/]*/, '')
}

/** The `101` that precedes ServerKey without fast start. */
export function switchingProtocols(serverKey: Uint8Array): Uint8Array {
  return Buffer.from(
    'HTTP/1.1 101 Switching Protocols\r\n' +
      'Upgrade: DERP\r\n' +
      'Connection: Upgrade\r\n' +
      `Derp-Version: ${PROTOCOL_VERSION}\r\n` +
      `Derp-Public-Key: ${toHex(serverKey)}\r\n` +
      '\r\n',
  )
}

/** A copy of the text, since a slice would keep the whole head in memory. */
function nodeName(field: string): string {
  return Buffer.from(field.slice(0, NODE_NAME_CHARS_MAX), 'latin1').toString('latin1')
}

/** The request of Tailscale's native client; with `idealNode` if this server is not the region's first node. */
export function upgradeRequest(
  host: string,
  options: { isFastStart: boolean; idealNode?: string },
): Uint8Array {
  return Buffer.from(
    `GET ${DERP_PATH} HTTP/1.1\r\n` +
      `Host: ${host}\r\n` +
      'User-Agent: Go-http-client/1.1\r\n' +
      'Connection: Upgrade\r\n' +
      (options.isFastStart ? 'Derp-Fast-Start: 1\r\n' : '') +
      (options.idealNode === undefined ? '' : `Ideal-Node: ${options.idealNode}\r\n`) +
      'Upgrade: DERP\r\n' +
      '\r\n',
  )
}
