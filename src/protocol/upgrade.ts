// How an HTTP/1.1 connection becomes a DERP stream: the native request, the decision what a request asks
// for, and the answer's exact bytes. Not checked, because derper does not: method, minor version, the
// Connection field, Host, query.

import { toHex } from './bytes.ts'
import type { HttpHead } from './http-head.ts'
import { PROTOCOL_VERSION } from './limits.ts'

export const DERP_PATH = '/derp'
/** Longer than any node's name; a relay keeps it as long as the session. */
const NODE_NAME_CHARS_MAX = 63

/** What a request wants: a raw DERP stream (with or without an answer first), one in a WebSocket, or anything else. */
export type UpgradeWish =
  | { readonly kind: 'derp'; readonly isFastStart: boolean; readonly idealNode: string }
  | { readonly kind: 'webSocket' }
  | { readonly kind: 'http' }

/** Reads a request's wish. WebSocket without the subprotocol `derp` asks for raw DERP, as old clients did. */
export function upgradeWish(head: HttpHead): UpgradeWish {
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

/** A request's path, whether it stands alone or in a whole URL, without its query. */
export function pathOf(head: HttpHead): string {
  return (head.firstLine[1].split('?')[0] ?? '').replace(/^https?:\/\/[^/]*/, '')
}

/** The `101` that precedes ServerKey for a client that did not ask for fast start. */
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

/** A text of its own: a part of the head's would keep all of that. */
function nodeName(field: string): string {
  return Buffer.from(field.slice(0, NODE_NAME_CHARS_MAX), 'latin1').toString('latin1')
}

/** The request of Tailscale's native client; `idealNode` only when this is not the region's first node. */
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
