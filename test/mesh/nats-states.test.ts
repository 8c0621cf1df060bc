// Relays' states as NATS messages: only who has the fleet's secret makes one.

import { expect, it } from 'vitest'
import { openState, sealState } from '#mesh/nats-states.ts'
import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'

const secret = Buffer.alloc(32, 1)
const key = new Uint8Array(32).fill(2)
const state = new Uint8Array(Buffer.from('{"format":1}'))

it('opens what was sealed with the same secret', () => {
  expect(openState(sealState({ key, state }, secret), secret)).toEqual({ key, state })
})

it('opens nothing else: another secret, any byte changed, a part, or more than fits', () => {
  const message = sealState({ key, state }, secret)
  expect(openState(message, Buffer.alloc(32, 3))).toBeUndefined()
  for (let at = 0; at < message.length; at++) {
    const changed = Uint8Array.from(message)
    changed[at] = (changed[at] ?? 0) ^ 1
    expect(openState(changed, secret), `byte ${at}`).toBeUndefined()
    expect(openState(message.subarray(0, at), secret), `the first ${at} bytes`).toBeUndefined()
  }
  const long = sealState({ key, state: new Uint8Array(RELAY_STATE_BYTES_MAX + 1) }, secret)
  expect(openState(long, secret)).toBeUndefined()
})
