// The messages of a kick for the fleet: what is written is read, and whatever comes stays within its bounds.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isKick, KICK_SECONDS_MAX, readKick, writeKick, type Kick } from '#fleet/kick.ts'
import { alice } from '../support/actor.ts'

it.each<Kick>([
  { kick: 'ask', id: 'a-1', key: Uint8Array.from(alice.key), seconds: 600 },
  { kick: 'answer', id: 'a-1', ended: 3, refusal: '' },
  { kick: 'answer', id: 'a-1', ended: 0, refusal: 'it takes no kicks from this relay' },
])('reads what it has written: %o', (kick) => {
  expect(isKick(writeKick(kick))).toBe(true)
  expect(readKick(writeKick(kick))).toEqual(kick)
})

it('takes neither a state nor a look for a kick', () => {
  for (const text of ['{"format":1,"name":"derp1"}', '{"look":"ask","id":"1"}', '']) {
    expect(isKick(Buffer.from(text))).toBe(false)
    expect(readKick(Buffer.from(text))).toBeUndefined()
  }
})

it.each([
  ['no key', { kick: 'ask', id: '1', seconds: 1 }],
  ['half a key', { kick: 'ask', id: '1', key: 'nodekey:12', seconds: 1 }],
  ['no time', { kick: 'ask', id: '1', key: `nodekey:${'0'.repeat(64)}` }],
  [
    'more than a year',
    { kick: 'ask', id: '1', key: `nodekey:${'0'.repeat(64)}`, seconds: KICK_SECONDS_MAX + 1 },
  ],
  ['less than nothing', { kick: 'ask', id: '1', key: `nodekey:${'0'.repeat(64)}`, seconds: -1 }],
])('does not read a request with %s', (_what, message) => {
  expect(readKick(Buffer.from(JSON.stringify(message)))).toBeUndefined()
})

it('keeps every field of any message within its bounds', () => {
  const value = fc.oneof(fc.string({ maxLength: 400 }), fc.double(), fc.constant(null), fc.boolean())
  const message = fc.record({
    kick: fc.constantFrom('ask', 'answer', 'other'),
    id: value,
    key: fc.oneof(value, fc.constant(`nodekey:${'ab'.repeat(32)}`)),
    seconds: value,
    ended: value,
    refusal: value,
  })
  fc.assert(
    fc.property(message, (json) => {
      const kick = readKick(Buffer.from(JSON.stringify(json)))
      if (kick?.kick === 'ask') expect(kick.seconds >= 0 && kick.seconds <= KICK_SECONDS_MAX).toBe(true)
      if (kick?.kick !== 'answer') return
      expect(kick.refusal.length).toBeLessThanOrEqual(300)
      expect(Number.isInteger(kick.ended) && kick.ended >= 0).toBe(true)
    }),
  )
})
