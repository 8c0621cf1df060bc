// The messages of a kick for the fleet: what is written is read, and whatever comes stays within its bounds.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  DENY_REASON_BYTES_MAX,
  isKick,
  KICK_SECONDS_MAX,
  readKick,
  reasonProblem,
  writeKick,
  type Kick,
} from '#fleet/kick.ts'
import { alice } from '../support/actor.ts'

const KEY = `nodekey:${'0'.repeat(64)}`

it.each<Kick>([
  { kick: 'ask', id: 'a-1', key: Uint8Array.from(alice.key), seconds: 600 },
  { kick: 'deny', id: 'a-1', key: Uint8Array.from(alice.key), seconds: 600, reason: 'ticket 7' },
  { kick: 'deny', id: 'a-1', key: Uint8Array.from(alice.key), seconds: undefined, reason: '' },
  { kick: 'allow', id: 'a-1', key: Uint8Array.from(alice.key) },
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
  [
    'a denial of more than a year, which is none without an end',
    { kick: 'deny', id: '1', key: KEY, seconds: KICK_SECONDS_MAX + 1, reason: '' },
  ],
  ['a denial of no time', { kick: 'deny', id: '1', key: KEY, seconds: 0, reason: '' }],
  ['a denial for a text', { kick: 'deny', id: '1', key: KEY, seconds: '600', reason: '' }],
  [
    'a reason that is too long',
    { kick: 'deny', id: '1', key: KEY, reason: 'é'.repeat(1 + DENY_REASON_BYTES_MAX / 2) },
  ],
  ['a reason of two lines', { kick: 'deny', id: '1', key: KEY, reason: 'a\nb' }],
  ['a denial of nobody', { kick: 'deny', id: '1', reason: '' }],
  ['an order that this version does not know', { kick: 'banish', id: '1', key: KEY, seconds: 1 }],
  ['less than nothing', { kick: 'ask', id: '1', key: `nodekey:${'0'.repeat(64)}`, seconds: -1 }],
])('does not read a request with %s', (_what, message) => {
  expect(readKick(Buffer.from(JSON.stringify(message)))).toBeUndefined()
})

it('keeps every field of any message within its bounds', () => {
  const value = fc.oneof(fc.string({ maxLength: 400 }), fc.double(), fc.constant(null), fc.boolean())
  const message = fc.record({
    kick: fc.constantFrom('ask', 'deny', 'allow', 'answer', 'other'),
    reason: value,
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
      if (kick?.kick === 'deny') {
        expect(kick.seconds === undefined || (kick.seconds > 0 && kick.seconds <= KICK_SECONDS_MAX)).toBe(
          true,
        )
        expect(reasonProblem(kick.reason)).toBeUndefined()
      }
      if (kick?.kick !== 'answer') return
      expect(kick.refusal.length).toBeLessThanOrEqual(300)
      expect(Number.isInteger(kick.ended) && kick.ended >= 0).toBe(true)
    }),
  )
})
