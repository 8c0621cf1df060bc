// A client's events, and how they are read from the server's frames. All bytes are copies that listeners may keep. A frame
// that is too short for its type causes no event, as in Tailscale's own client.

import { FrameType } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent, readRestarting, type Presence } from '#protocol/frames.ts'
import type { ServerInfo } from '#protocol/handshake.ts'
import { KEY_BYTES, PING_BYTES } from '#protocol/limits.ts'
import type { ConnectionEnd } from './connect-error.ts'
import type { Emitter } from './emitter.ts'

/** A packet and the key of the client that sent it. */
export interface ReceivedPacket {
  readonly source: Uint8Array
  readonly packet: Buffer
}

/** The events of a client; each has one value. */
export interface ClientEvents {
  packet: ReceivedPacket
  /** A peer has left the region (`GoneReason.disconnected`), or a packet for it found it not there (`notHere`). */
  peerGone: { readonly key: Uint8Array; readonly reason: number }
  /** For watchers: a connection on this server. */
  peerPresent: Presence
  /** A problem to show the user; the empty text clears it. */
  health: string
  /** The server is about to restart. */
  restarting: { readonly reconnectInMs: number; readonly tryForMs: number }
  /** The eight bytes of a pong, and the round trip in ms if it answers a `ping()`. */
  pong: { readonly bytes: Uint8Array; readonly roundTripMs: number | undefined }
  keepAlive: undefined
  /** The server has admitted this client. */
  serverInfo: ServerInfo
  /** The connection has ended; the last event. */
  closed: ConnectionEnd
}

/** A copy of the payload at [start, end). Not a Buffer, since a Buffer's `slice` would share its memory. */
export function copyPayload(buffer: Buffer, start: number, end: number): Uint8Array {
  const payload = new Uint8Array(end - start)
  buffer.copy(payload, 0, start, end)
  return payload
}

/** Emits the packet of a RecvPacket's payload at [start, end). */
export function emitPacket(events: Emitter<ClientEvents>, buffer: Buffer, start: number, end: number): void {
  if (end - start < KEY_BYTES) return
  const copy = Buffer.allocUnsafe(end - start)
  buffer.copy(copy, 0, start, end)
  events.emit('packet', { source: copy.subarray(0, KEY_BYTES), packet: copy.subarray(KEY_BYTES) })
}

/** Emits the event of any frame that is only for the user and no packet. Ignores other types. */
export function emitNotice(events: Emitter<ClientEvents>, type: number, payload: Uint8Array): void {
  if (type === FrameType.keepAlive) events.emit('keepAlive', undefined)
  else if (type === FrameType.health) events.emit('health', Buffer.from(payload).toString('utf8'))
  else if (type === FrameType.peerGone) emitIfValid(events, 'peerGone', readPeerGone(payload))
  else if (type === FrameType.peerPresent) emitIfValid(events, 'peerPresent', readPeerPresent(payload))
  else if (type === FrameType.restarting) emitIfValid(events, 'restarting', readRestarting(payload))
}

/** Emits a pong; `roundTripMs` if it answers a ping of this client. */
export function emitPong(
  events: Emitter<ClientEvents>,
  payload: Uint8Array,
  roundTripMs: number | undefined,
): void {
  if (payload.length >= PING_BYTES)
    events.emit('pong', { bytes: payload.subarray(0, PING_BYTES), roundTripMs })
}

function emitIfValid<Name extends keyof ClientEvents>(
  events: Emitter<ClientEvents>,
  name: Name,
  value: ClientEvents[Name] | undefined,
): void {
  if (value !== undefined) events.emit(name, value)
}
