import { expect, it } from 'vitest'
import { BackendHealth } from '#admission/backend-health.ts'
import type { VerifierResult } from '#admission/verifier.ts'
import { FakeClock } from '../support/fake-clock.ts'

const ALLOWED: VerifierResult = { kind: 'allowed', reason: '' }
const HANGS: VerifierResult = { kind: 'unreachable', reason: 'no answer within 5 s' }
const REFUSES: VerifierResult = { kind: 'unreachable', reason: 'connection refused' }

/** A backend whose results the test gives, in the order of the requests, and the clock. */
function setUp() {
  const clock = new FakeClock()
  const events: string[] = []
  const open: ((result: VerifierResult) => void)[] = []
  const health = new BackendHealth({
    verifier: { name: 'url', verify: async () => await new Promise((answer) => open.push(answer)) },
    probe: { key: new Uint8Array(32), source: '' },
    onOutage: ({ cause }) => events.push(`down: ${cause}`),
    onRecovery: ({ cause, sinceMs }) => events.push(`up after ${clock.now() - sinceMs} ms: ${cause}`),
    now: clock.now,
  })
  const ask = (): void =>
    void health.verify({ key: new Uint8Array(32), source: '' }, new AbortController().signal)
  const answer = async (result: VerifierResult): Promise<void> => {
    open.shift()?.(result)
    await new Promise(setImmediate)
  }
  return { clock, events, open, health, ask, answer }
}

it('requests that were open at the same time count as one failure', async () => {
  const { clock, events, ask, answer } = setUp()
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
  expect(events).toEqual(['down: connection refused'])
})

it('repeated failures for less than three seconds are no outage; for longer they are one', async () => {
  const { clock, events, health, ask, answer } = setUp()
  for (let count = 0; count < 10; count++) {
    ask()
    await answer(REFUSES)
    clock.advance(290)
  }
  expect([events, health.outage]).toEqual([[], undefined])
  clock.advance(200)
  for (let count = 0; count < 3; count++) {
    ask()
    await answer(REFUSES)
  }
  expect(events).toEqual(['down: connection refused'])
  clock.advance(1_000)
  ask()
  await answer(ALLOWED)
  expect(events.slice(1)).toEqual(['up after 4100 ms: connection refused'])
  expect(health.outage).toBeUndefined()
})

it('probes every two seconds while the backend fails, one request at a time, and never while it works', async () => {
  const { clock, open, health, ask, answer } = setUp()
  const sweep = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.advance(250)
      health.sweep()
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

it('an aborted request counts for nothing', async () => {
  const { clock, events, health, open, answer } = setUp()
  for (let count = 0; count < 3; count++) {
    const aborted = new AbortController()
    void health.verify({ key: new Uint8Array(32), source: '' }, aborted.signal)
    aborted.abort()
    await answer(HANGS)
    clock.advance(5_000)
    health.sweep()
  }
  expect([events, open]).toEqual([[], []])
})
