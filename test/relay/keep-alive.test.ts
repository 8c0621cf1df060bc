import { expect, it } from 'vitest'
import { actor } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'

it('spreads the keep-alives of many idle clients over the whole five seconds', () => {
  const relay = new TestRelay()
  for (let number = 0; number < 500; number++) relay.join(actor(`idler ${number}`))
  const sentAt: number[] = []
  relay.pass(59_500)
  expect(relay.count('keepAlivesSent')).toBe(0)
  for (let tenth = 0; tenth < 65; tenth++) {
    relay.pass(100)
    sentAt.push(relay.count('keepAlivesSent'))
  }
  expect(sentAt.at(-1)).toBe(500)
  // Half of them in about half of the time: neither at once nor in lumps.
  const halfway = sentAt.findIndex((sent) => sent >= 250)
  expect(halfway).toBeGreaterThan(22)
  expect(halfway).toBeLessThan(42)
  const busiest = Math.max(...sentAt.map((sent, i) => sent - (sentAt[i - 1] ?? 0)))
  expect(busiest).toBeLessThan(40)
})
