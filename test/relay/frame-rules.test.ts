import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { FrameType } from '#protocol/frame-type.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { judgeFirstFrame, judgeFrame } from '#relay/frame-rules.ts'
import { sizeBoundaries } from '../vectors/frames.ts'

it.each(sizeBoundaries.map((boundary) => [boundary.meaning, boundary] as const))(
  '%s',
  (_meaning, { header, isAccepted }) => {
    const [type, length] = [header.readUInt8(0), header.readUInt32BE(1)]
    const rule =
      type === FrameType.clientInfo ? judgeFirstFrame(type, length) : judgeFrame(type, length, true)
    expect(rule === 'accept').toBe(isAccepted)
  },
)

it.each([
  [FrameType.sendPacket, 32, 65_568, ProtocolError.sendPacketLength],
  [FrameType.forwardPacket, 64, 65_600, ProtocolError.forwardPacketLength],
  [FrameType.notePreferred, 1, 1, ProtocolError.notePreferredLength],
  [FrameType.watchConns, 0, 0, ProtocolError.watchConnsLength],
  [FrameType.closePeer, 32, 32, ProtocolError.closePeerLength],
  [FrameType.ping, 8, 1_000, ProtocolError.pingLength],
])('a sibling may send frame %i of %i to %i bytes', (type, min, max, otherwise) => {
  expect(judgeFrame(type, min, true)).toBe('accept')
  expect(judgeFrame(type, max, true)).toBe('accept')
  if (min > 0) expect(judgeFrame(type, min - 1, true)).toBe(otherwise)
  expect(judgeFrame(type, max + 1, true)).toBe(otherwise)
  expect(judgeFrame(type, 0xffff_ffff, true)).toBe(otherwise)
})

it('the first frame is a ClientInfo of 56 to 262,144 bytes', () => {
  const lengths = [55, 56, 262_144, 262_145]
  const { clientInfoLength, clientInfoExpected } = ProtocolError
  const rules = lengths.map((length) => judgeFirstFrame(FrameType.clientInfo, length))
  expect(rules).toEqual([clientInfoLength, 'accept', 'accept', clientInfoLength])
  for (const type of Object.values(FrameType)) {
    if (type !== FrameType.clientInfo) expect(judgeFirstFrame(type, 100)).toBe(clientInfoExpected)
  }
})

it('a frame that only siblings may send is rejected from a client, whatever its length', () => {
  const { notPrivileged, watchConnsLength, closePeerLength } = ProtocolError
  expect(judgeFrame(FrameType.forwardPacket, 100, false)).toBe(notPrivileged)
  expect(judgeFrame(FrameType.forwardPacket, 1, false)).toBe(notPrivileged)
  expect(judgeFrame(FrameType.watchConns, 0, false)).toBe(notPrivileged)
  expect(judgeFrame(FrameType.watchConns, 1, false)).toBe(watchConnsLength)
  expect(judgeFrame(FrameType.closePeer, 32, false)).toBe(notPrivileged)
  expect(judgeFrame(FrameType.closePeer, 31, false)).toBe(closePeerLength)
})

it('the state of a relay is read from siblings, up to its limit; else it is a frame like any that is unknown', () => {
  const lengths = [0, 32_768, 32_769, 65_568, 65_569]
  const of = (isMesh: boolean): unknown[] =>
    lengths.map((length) => judgeFrame(FrameType.relayState, length, isMesh))
  const { unknownFrameLength } = ProtocolError
  expect(of(true)).toEqual(['accept', 'accept', 'skip', 'skip', unknownFrameLength])
  expect(of(false)).toEqual(['skip', 'skip', 'skip', 'skip', unknownFrameLength])
})

it('every other frame is skipped up to 65,568 bytes and rejected beyond', () => {
  const meant = new Set<number>([
    FrameType.sendPacket,
    FrameType.forwardPacket,
    FrameType.notePreferred,
    FrameType.watchConns,
    FrameType.closePeer,
    FrameType.ping,
    FrameType.relayState,
  ])
  const someOtherType = fc.nat(255).filter((type) => !meant.has(type))
  fc.assert(
    fc.property(
      someOtherType,
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.boolean(),
      (type, length, isMesh) => {
        const expected = length <= 65_568 ? 'skip' : ProtocolError.unknownFrameLength
        expect(judgeFrame(type, length, isMesh)).toBe(expected)
        expect(judgeFrame(type, 65_568, isMesh)).toBe('skip')
        expect(judgeFrame(type, 65_569, isMesh)).toBe(ProtocolError.unknownFrameLength)
      },
    ),
  )
})
