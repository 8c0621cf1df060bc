// The messages of a look from outside: what is written is read, and whatever comes stays within its bounds.

import { expect, it } from 'vitest'
import fc from 'fast-check'
import { isLook, readLook, writeLook, type Look } from '#fleet/look.ts'

const ANSWER: Look = {
  look: 'answer',
  id: 'a-1',
  nowMs: 1_800_000_000_000,
  regions: '0123456789abcdef',
  refusal: '',
  claims: ['node 900a is claimed by two'],
  ports: [
    {
      node: '900a',
      kind: 'stun',
      family: 4,
      at: '192.0.2.1:3478',
      result: 'ok',
      detail: 'answers in 1.0 ms',
      stage: undefined,
      key: undefined,
      sees: '198.51.100.1',
      from: '10.0.0.1',
    },
  ],
}

it.each<Look>([{ look: 'ask', id: 'a-1' }, ANSWER])('reads what it has written: %o', (look) => {
  expect(isLook(writeLook(look))).toBe(true)
  expect(readLook(writeLook(look))).toEqual(look)
})

it('does not take a state for a look', () => {
  expect(isLook(Buffer.from('{"format":1,"name":"derp1"}'))).toBe(false)
  expect(isLook(new Uint8Array())).toBe(false)
})

it('keeps every field of any message within its bounds', () => {
  const value = fc.oneof(fc.string({ maxLength: 400 }), fc.double(), fc.constant(null), fc.boolean())
  const port = fc.record({ node: value, kind: value, family: value, at: value, result: value, detail: value })
  const message = fc.record({
    look: fc.constantFrom('ask', 'answer', 'other'),
    id: value,
    nowMs: value,
    regions: value,
    refusal: value,
    ports: fc.oneof(
      value,
      fc.array(fc.oneof(port, value, fc.constant((ANSWER as { ports: readonly object[] }).ports[0])), {
        maxLength: 80,
      }),
    ),
  })
  fc.assert(
    fc.property(message, (json) => {
      const look = readLook(Buffer.from(JSON.stringify(json)))
      if (look?.look !== 'answer') return
      expect(look.ports.length).toBeLessThanOrEqual(48)
      for (const { detail, at } of look.ports) expect(detail.length + at.length).toBeLessThanOrEqual(620)
    }),
  )
})
