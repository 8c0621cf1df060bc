// Messages of WireGuard that the kernel has joined are told apart, and nothing else is.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { joinedMessages } from '#bridge/joined-messages.ts'

/** A message of data as WireGuard sends it, with ciphertext of zeros at its worst. */
function message(index: number, counter: bigint, length: number, fill = 0): Buffer {
  const bytes = Buffer.alloc(length, fill)
  bytes.writeUInt32LE(4, 0)
  bytes.writeUInt32LE(index, 4)
  bytes.writeBigUInt64LE(counter, 8)
  return bytes
}

const lengths = fc.integer({ min: 32, max: 1_500 })
const counters = fc.bigInt({ min: 0n, max: 2n ** 60n })
const indexes = fc.integer({ min: 0, max: 0xffff_ffff })

it('tells a row of messages of one length apart, of which the last may be shorter', () => {
  const row = fc.record({
    index: indexes,
    counter: counters,
    length: lengths,
    count: fc.integer({ min: 1, max: 40 }),
    last: lengths,
    fill: fc.nat(255),
  })
  fc.assert(
    fc.property(row, ({ index, counter, length, count, last, fill }) => {
      const all = Array.from({ length: count }, (_, at) => message(index, counter + BigInt(at), length, fill))
      all.push(message(index, counter + BigInt(count), Math.min(last, length), fill))
      expect(joinedMessages(Buffer.concat(all))).toEqual(all)
    }),
  )
})

it.each([
  ['one message', message(7, 5n, 1_452)],
  ['a keepalive', message(7, 5n, 32)],
  ['a handshake', Buffer.concat([Buffer.from([1, 0, 0, 0]), Buffer.alloc(144)])],
  ['nothing', Buffer.alloc(0)],
  ['messages of two sessions', Buffer.concat([message(7, 5n, 100), message(8, 6n, 100)])],
  ['a gap in the counters', Buffer.concat([message(7, 5n, 100), message(7, 7n, 100)])],
  [
    'a row that goes wrong at its third',
    Buffer.concat([message(7, 5n, 100), message(7, 6n, 100), message(7, 6n, 100)]),
  ],
  [
    'a head that is cut off',
    Buffer.concat([message(7, 5n, 100), message(7, 6n, 100), message(7, 7n, 100).subarray(0, 12)]),
  ],
] as const)('leaves %s as it is', (_what, bytes) => {
  expect(joinedMessages(bytes)).toEqual([bytes])
})

it('never loses or adds a byte', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), indexes, counters, (noise, index, counter) => {
      const bytes = Buffer.concat([message(index, counter, 64), noise])
      expect(Buffer.concat([...joinedMessages(bytes)])).toEqual(bytes)
    }),
  )
})
