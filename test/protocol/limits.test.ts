// Both sides of every size limit as constants, and no number of a list used twice. The session applies the limits.

import { expect, it } from 'vitest'
import { FrameType, GoneReason, PresenceFlag } from '#protocol/frame-type.ts'
import * as limits from '#protocol/limits.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { sizeBoundaries } from '../vectors/frames.ts'

/** The shortest and longest payload that a server accepts, by the constants. */
const accepted: Partial<Record<number, readonly [number, number]>> = {
  [FrameType.clientInfo]: [limits.CLIENT_INFO_BYTES_MIN, limits.CLIENT_INFO_BYTES_MAX],
  [FrameType.sendPacket]: [limits.KEY_BYTES, limits.SEND_PACKET_BYTES_MAX],
  [FrameType.forwardPacket]: [2 * limits.KEY_BYTES, limits.FORWARD_PACKET_BYTES_MAX],
  [FrameType.notePreferred]: [1, 1],
  [FrameType.watchConns]: [0, 0],
  [FrameType.closePeer]: [limits.KEY_BYTES, limits.KEY_BYTES],
  [FrameType.ping]: [limits.PING_BYTES, limits.PING_BYTES_MAX],
}

it.each(sizeBoundaries)('$meaning is on its side of the limit', ({ header, isAccepted }) => {
  const [min, max] = accepted[header.readUInt8(0)] ?? [NaN, NaN]
  const payloadBytes = header.readUInt32BE(1)
  expect(payloadBytes >= min && payloadBytes <= max).toBe(isAccepted)
})

it('a frame of unknown type may be as long as the longest SendPacket', () => {
  expect(limits.UNKNOWN_FRAME_BYTES_MAX).toBe(65_568)
})

it.each(Object.entries({ FrameType, GoneReason, PresenceFlag, ProtocolError }))(
  'no value of %s is used twice',
  (_name, values) => {
    expect(new Set<unknown>(Object.values(values)).size).toBe(Object.values(values).length)
  },
)
