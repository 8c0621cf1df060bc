// The clock of those who wait for others, in a process that is stopped for a while.

import { expect, it } from 'vitest'
import { awakeClock } from '#fleet/awake-clock.ts'
import { FleetState } from '#fleet/fleet-state.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { keyOf, messageOf, stateOf } from '../support/relay-states.ts'

it('stands still while nobody asks for seconds, and goes on from there', () => {
  const clock = new FakeClock()
  const now = awakeClock(clock.now)
  const startMs = now()
  clock.advance(4_999)
  expect(now() - startMs).toBe(4_999)
  clock.advance(3_600_000)
  expect(now() - startMs).toBe(4_999)
  clock.advance(1_000)
  expect(now() - startMs).toBe(5_999)
})

it('takes no sibling for down after the machine of this relay has slept', () => {
  const clock = new FakeClock()
  const fleet = new FleetState({ now: awakeClock(clock.now), ownKey: keyOf('900a') })
  const names = ['900a', '900b']
  fleet.setRelays(names.map((node) => ({ name: `${node}.lab`, nodes: [node], isOwn: node === '900a' })))
  fleet.takeOwn(stateOf('900a'))
  fleet.take(messageOf('900b', {}), { key: keyOf('900b'), carrier: 'link' })
  const lookFor = (seconds: number): string => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1_000)
      fleet.stateOf('900b')
    }
    return fleet.stateOf('900b')
  }
  expect(lookFor(10)).toBe('up')
  clock.advance(600_000)
  expect([lookFor(10), lookFor(10)]).toEqual(['up', 'down'])
})
