// Which packets are disco messages: both sides of each condition.

import { expect, it } from 'vitest'
import { isDisco } from '#protocol/disco.ts'
import { disco, packet } from '../vectors/frames.ts'

const { message } = disco

it('recognises a disco message of 62 bytes, but not of 61', () => {
  expect(message.length).toBe(62)
  expect(isDisco(message, 0, 62)).toBe(true)
  expect(isDisco(message, 0, 61)).toBe(false)
  expect(isDisco(message.subarray(0, 61), 0, 61)).toBe(false)
})

it('recognises it at any position, and reads nothing outside the packet', () => {
  const { sendPacket } = disco
  expect(isDisco(sendPacket, 5 + 32, sendPacket.length)).toBe(true)
  expect(isDisco(sendPacket, 5 + 31, sendPacket.length)).toBe(false)
  expect(isDisco(Buffer.concat([message, message]), 0, 61)).toBe(false)
  expect(isDisco(Buffer.concat([message, message]), 62, 62 + 61)).toBe(false)
})

it('does not recognise 62 bytes if any bit of the magic differs', () => {
  for (let bit = 0; bit < 6 * 8; bit++) {
    const other = Buffer.from(message)
    other.writeUInt8(other.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    expect(isDisco(other, 0, 62)).toBe(false)
  }
  expect(isDisco(packet, 0, packet.length)).toBe(false)
  expect(isDisco(packet, 0, 0)).toBe(false)
})
