// Whom a relay has to see in order to have a majority.

import { expect, it } from 'vitest'
import { FleetState } from '#fleet/fleet-state.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { keyOf, messageOf, stateOf } from '../support/relay-states.ts'

it('does not count relays of regions that are off, whether they run or not', () => {
  const clock = new FakeClock()
  const fleet = new FleetState({ now: clock.now, ownKey: keyOf('900a') })
  fleet.setRelays(
    ['900a', '900b', '902a', '901a', '901b', '901c'].map((node) => ({
      name: `${node}.lab`,
      nodes: [node],
      isOwn: node === '900a',
      isOff: node.startsWith('901'),
    })),
  )
  fleet.takeOwn(stateOf('900a'))
  const tell = (name: string): unknown =>
    fleet.take(messageOf(name, {}), { key: keyOf(name), carrier: 'link' })
  tell('900b')
  expect(fleet.majority).toEqual({ seen: 2, expected: 3, isMajority: true })
  clock.advance(60_000)
  for (const name of ['901a', '901b', '901c']) tell(name)
  expect(fleet.majority).toEqual({ seen: 1, expected: 3, isMajority: false })
})
