// Which frames a client may send, decided from type and length alone, before any payload is read. Where two rules
// apply, they are checked in derper's order.

import { FrameType } from '#protocol/frame-type.ts'
import {
  CLIENT_INFO_BYTES_MAX,
  CLIENT_INFO_BYTES_MIN,
  FORWARD_PACKET_BYTES_MAX,
  KEY_BYTES,
  PING_BYTES,
  PING_BYTES_MAX,
  RELAY_STATE_BYTES_MAX,
  SEND_PACKET_BYTES_MAX,
  UNKNOWN_FRAME_BYTES_MAX,
} from '#protocol/limits.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'

/** Accept the frame, skip its payload, or end the session for the given reason. */
export type FrameRule = 'accept' | 'skip' | ProtocolError

/** The first frame must be a ClientInfo. */
export function judgeFirstFrame(type: number, payloadBytes: number): FrameRule {
  if (type !== FrameType.clientInfo) return ProtocolError.clientInfoExpected
  return within(payloadBytes, CLIENT_INFO_BYTES_MIN, CLIENT_INFO_BYTES_MAX)
    ? 'accept'
    : ProtocolError.clientInfoLength
}

/** Any later frame; `isMesh`: the sender has logged in with a mesh key. */
export function judgeFrame(type: number, payloadBytes: number, isMesh: boolean): FrameRule {
  switch (type) {
    case FrameType.sendPacket:
      return within(payloadBytes, KEY_BYTES, SEND_PACKET_BYTES_MAX)
        ? 'accept'
        : ProtocolError.sendPacketLength
    case FrameType.ping:
      return within(payloadBytes, PING_BYTES, PING_BYTES_MAX) ? 'accept' : ProtocolError.pingLength
    case FrameType.notePreferred:
      return payloadBytes === 1 ? 'accept' : ProtocolError.notePreferredLength
    case FrameType.forwardPacket:
      if (!isMesh) return ProtocolError.notPrivileged
      return within(payloadBytes, 2 * KEY_BYTES, FORWARD_PACKET_BYTES_MAX)
        ? 'accept'
        : ProtocolError.forwardPacketLength
    case FrameType.watchConns:
      if (payloadBytes !== 0) return ProtocolError.watchConnsLength
      return isMesh ? 'accept' : ProtocolError.notPrivileged
    case FrameType.closePeer:
      if (payloadBytes !== KEY_BYTES) return ProtocolError.closePeerLength
      return isMesh ? 'accept' : ProtocolError.notPrivileged
    case FrameType.relayState:
      // Of anybody else it is a frame of unknown type, as for derper.
      if (isMesh && payloadBytes <= RELAY_STATE_BYTES_MAX) return 'accept'
      return payloadBytes <= UNKNOWN_FRAME_BYTES_MAX ? 'skip' : ProtocolError.unknownFrameLength
    default:
      return payloadBytes <= UNKNOWN_FRAME_BYTES_MAX ? 'skip' : ProtocolError.unknownFrameLength
  }
}

function within(value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}
