import { expect, it } from 'vitest'
import { actor } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'

it.each([
  ['as with TLS', 60_000, 65_000],
  ['as behind a proxy', 25_000, 45_000],
])('spreads the keep-alives of many idle clients over the whole range, %s', (_name, minMs, maxMs) => {
  const relay = new TestRelay({ limits: { keepAlive: { minMs, maxMs } } })
  for (let number = 0; number < 500; number++) relay.join(actor(`idle ${number}`))
  const sentAt: number[] = []
  relay.pass(minMs - 500)
  expect(relay.count('keepAlivesSent')).toBe(0)
  const stepMs = (maxMs - minMs) / 50
  for (let step = 0; step * stepMs < maxMs - minMs + 1_500; step++) {
    relay.pass(stepMs)
    sentAt.push(relay.count('keepAlivesSent'))
  }
  expect(sentAt.at(-1)).toBe(500)
  // Half of them in about half of the time: neither all at once nor in clusters.
  const halfway = sentAt.findIndex((sent) => sent >= 250)
  expect(halfway).toBeGreaterThan(18)
  expect(halfway).toBeLessThan(42)
  const busiest = Math.max(...sentAt.map((sent, i) => sent - (sentAt[i - 1] ?? 0)))
  expect(busiest).toBeLessThan(40)
})
