// Writes the frames of a DERP session after login, and reads their payloads: packets, presence, pings, notes. The relay's
// packet path does not build frames here; it rewrites them in place.

import { concatBytes, copyOf, readU16, readU32, writeU16, writeU32 } from './bytes.ts'
import { FrameType, GoneReason } from './frame-type.ts'
import { frame, isAppName } from './handshake.ts'
import { IP_BYTES } from './ip-address.ts'
import { HEADER_BYTES, KEY_BYTES, PING_BYTES } from './limits.ts'

/** A connection as reported to watchers. */
export interface Presence {
  readonly key: Uint8Array
  /** Sixteen bytes, see `ip-address.ts`; zero when unknown. */
  readonly ip: Uint8Array
  readonly port: number
  /** A union of `PresenceFlag` bits. */
  readonly flags: number
  /** Undefined for the form without app names (51 bytes, derper until 1.102). */
  readonly appName: string | undefined
}

const PRESENCE_BYTES = KEY_BYTES + IP_BYTES + 2 + 1

export const KEEP_ALIVE_FRAME = frame(FrameType.keepAlive)
export const WATCH_CONNS_FRAME = frame(FrameType.watchConns)

/** A packet for the holder of `destination`. */
export function sendPacketFrame(destination: Uint8Array, packet: Uint8Array): Uint8Array {
  return frame(FrameType.sendPacket, destination, packet)
}

/** A packet from the holder of `source`. */
export function recvPacketFrame(source: Uint8Array, packet: Uint8Array): Uint8Array {
  return frame(FrameType.recvPacket, source, packet)
}

/** A packet handed to a sibling for local delivery. */
export function forwardPacketFrame(
  source: Uint8Array,
  destination: Uint8Array,
  packet: Uint8Array,
): Uint8Array {
  return frame(FrameType.forwardPacket, source, destination, packet)
}

/** Notes whether this server is the client's home. */
export function notePreferredFrame(isHome: boolean): Uint8Array {
  return frame(FrameType.notePreferred, new Uint8Array([isHome ? 1 : 0]))
}

export function peerGoneFrame(key: Uint8Array, reason: GoneReason): Uint8Array {
  return frame(FrameType.peerGone, key, new Uint8Array([reason]))
}

/** Key and reason of a PeerGone payload; the old form without a reason means disconnected. */
export function readPeerGone(payload: Uint8Array): { key: Uint8Array; reason: number } | undefined {
  if (payload.length < KEY_BYTES) return undefined
  return { key: copyOf(payload, 0, KEY_BYTES), reason: payload[KEY_BYTES] ?? GoneReason.disconnected }
}

export function peerPresentFrame(presence: Presence): Uint8Array {
  const portAndFlags = new Uint8Array(3)
  writeU16(portAndFlags, 0, presence.port)
  portAndFlags[2] = presence.flags
  const name = presence.appName === undefined ? new Uint8Array(0) : Buffer.from(presence.appName, 'latin1')
  const nameLength = new Uint8Array(presence.appName === undefined ? [] : [name.length])
  return frame(FrameType.peerPresent, concatBytes(presence.key, presence.ip, portAndFlags, nameLength, name))
}

/**
 * Reads a PeerPresent payload of any version: key alone (32 bytes), with address (50), with flags (51), with app name (52
 * and more). Ignores a truncated or invalid name.
 */
export function readPeerPresent(payload: Uint8Array): Presence | undefined {
  if (payload.length < KEY_BYTES) return undefined
  const key = copyOf(payload, 0, KEY_BYTES)
  if (payload.length < PRESENCE_BYTES - 1) {
    return { key, ip: new Uint8Array(IP_BYTES), port: 0, flags: 0, appName: undefined }
  }
  const ip = copyOf(payload, KEY_BYTES, KEY_BYTES + IP_BYTES)
  const port = readU16(payload, KEY_BYTES + IP_BYTES)
  return { key, ip, port, flags: payload[PRESENCE_BYTES - 1] ?? 0, appName: readAppName(payload) }
}

/** A ping of at least eight bytes, of which the first eight are echoed. */
export function pingFrame(bytes: Uint8Array): Uint8Array {
  return frame(FrameType.ping, bytes)
}

/** The answer to a ping's payload, of which the first eight bytes are copied. */
export function pongFrame(pingPayload: Uint8Array): Uint8Array {
  return frame(FrameType.pong, pingPayload.subarray(0, PING_BYTES))
}

export function closePeerFrame(key: Uint8Array): Uint8Array {
  return frame(FrameType.closePeer, key)
}

/** A problem that the client shows to its user; the empty text clears it. */
export function healthFrame(problem: string): Uint8Array {
  return frame(FrameType.health, Buffer.from(problem))
}

const MESH_KEY_REFUSED = 'mesh key refused'

/** Tells a sibling why its session ends. Only sent to remotes with a mesh key, so never to clients. */
export const MESH_KEY_REFUSED_FRAME = healthFrame(MESH_KEY_REFUSED)

/** Whether a Health payload is that of MESH_KEY_REFUSED_FRAME. */
export function isMeshKeyRefusal(payload: Uint8Array): boolean {
  return payload.length === MESH_KEY_REFUSED.length && Buffer.from(payload).toString() === MESH_KEY_REFUSED
}

export function restartingFrame(reconnectInMs: number, tryForMs: number): Uint8Array {
  const payload = new Uint8Array(8)
  writeU32(payload, 0, reconnectInMs)
  writeU32(payload, 4, tryForMs)
  return frame(FrameType.restarting, payload)
}

/** The state of this relay, for a sibling: JSON. */
export function relayStateFrame(state: Uint8Array): Uint8Array {
  return frame(FrameType.relayState, state)
}

/** Both delays of a Restarting payload in ms; undefined if it is too short. */
export function readRestarting(payload: Uint8Array): { reconnectInMs: number; tryForMs: number } | undefined {
  if (payload.length < 8) return undefined
  return { reconnectInMs: readU32(payload, 0), tryForMs: readU32(payload, 4) }
}

/** Turns the ForwardPacket frame whose payload is bytes[start, end) into a RecvPacket frame, and returns its start. */
export function forwardedAsRecv(bytes: Uint8Array, start: number, end: number): number {
  // The source key is moved over the destination key, so that the packet stays in place.
  bytes.copyWithin(start + KEY_BYTES, start, start + KEY_BYTES)
  const at = start + KEY_BYTES - HEADER_BYTES
  bytes[at] = FrameType.recvPacket
  writeU32(bytes, at + 1, end - start - KEY_BYTES)
  return at
}

function readAppName(payload: Uint8Array): string | undefined {
  const nameBytes = payload[PRESENCE_BYTES]
  const start = PRESENCE_BYTES + 1
  if (nameBytes === undefined || payload.length < start + nameBytes) return undefined
  const name = Buffer.from(payload.subarray(start, start + nameBytes)).toString('latin1')
  return isAppName(name) ? name : undefined
}
