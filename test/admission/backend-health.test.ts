import { expect, it } from 'vitest'
import { BackendHealth } from '#admission/backend-health.ts'
import type { VerifierResult } from '#admission/verifier.ts'
import { FakeClock } from '../support/fake-clock.ts'

const ALLOWED: VerifierResult = { kind: 'allowed', reason: '' }
const HANGS: VerifierResult = { kind: 'unreachable', reason: 'no answer within 5 s' }
const REFUSES: VerifierResult = { kind: 'unreachable', reason: 'connection refused' }

/** A back end whose answers the test gives, in the order of the questions, at the time that it sets. */
function watched() {
  const clock = new FakeClock()
  const events: string[] = []
  const open: ((verdict: VerifierResult) => void)[] = []
  const watch = new BackendHealth({
    verifier: { name: 'url', verify: async () => await new Promise((answer) => open.push(answer)) },
    self: { key: new Uint8Array(32), source: '' },
    onOutage: ({ cause }) => events.push(`lost: ${cause}`),
    onReturn: ({ cause, sinceMs }) => events.push(`reached after ${clock.now() - sinceMs} ms: ${cause}`),
    now: clock.now,
  })
  const ask = (): void =>
    void watch.verify({ key: new Uint8Array(32), source: '' }, new AbortController().signal)
  const answer = async (verdict: VerifierResult): Promise<void> => {
    open.shift()?.(verdict)
    await new Promise(setImmediate)
  }
  return { clock, events, open, watch, ask, answer }
}

it('questions that were open together and fail are one failure, however far apart', async () => {
  const { clock, events, ask, answer } = watched()
  ask()
  clock.advance(4_000)
  ask()
  clock.advance(1_000)
  await answer(HANGS)
  clock.advance(4_000)
  await answer(HANGS)
  expect(events).toEqual([])
  ask()
  await answer(REFUSES)
  expect(events).toEqual(['lost: connection refused'])
})

it('failures that come again and again for less than three seconds are none, those for longer one outage', async () => {
  const { clock, events, watch, ask, answer } = watched()
  for (let count = 0; count < 10; count++) {
    ask()
    await answer(REFUSES)
    clock.advance(290)
  }
  expect([events, watch.outage]).toEqual([[], undefined])
  clock.advance(200)
  for (let count = 0; count < 3; count++) {
    ask()
    await answer(REFUSES)
  }
  expect(events).toEqual(['lost: connection refused'])
  clock.advance(1_000)
  ask()
  await answer(ALLOWED)
  expect(events.slice(1)).toEqual(['reached after 4100 ms: connection refused'])
  expect(watch.outage).toBeUndefined()
})

it('asks by itself every two seconds while it fails, one question at a time, and never while it works', async () => {
  const { clock, open, watch, ask, answer } = watched()
  const sweep = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.advance(250)
      watch.sweep()
    }
  }
  ask()
  await answer(ALLOWED)
  sweep(20_000)
  expect(open).toHaveLength(0)
  ask()
  await answer(REFUSES)
  sweep(1_750)
  expect(open).toHaveLength(0)
  sweep(10_000)
  expect(open).toHaveLength(1)
  await answer(REFUSES)
  sweep(2_000)
  expect(open).toHaveLength(1)
  await answer(ALLOWED)
  sweep(20_000)
  expect(open).toHaveLength(0)
})

it('a question that was broken off says nothing', async () => {
  const { clock, events, watch, open, answer } = watched()
  for (let count = 0; count < 3; count++) {
    const leaving = new AbortController()
    void watch.verify({ key: new Uint8Array(32), source: '' }, leaving.signal)
    leaving.abort()
    await answer(HANGS)
    clock.advance(5_000)
    watch.sweep()
  }
  expect([events, open]).toEqual([[], []])
})
