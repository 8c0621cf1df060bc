// The doctor's judgement of a fleet in which relays are down.

import { expect, it } from 'vitest'
import { fleetFindings } from '#doctor/fleet-findings.ts'
import type { RelayFacts } from '#fleet/relay-facts.ts'

it.each([
  [2, true, /the map does not have them/],
  [1, false, /sees 1 of 3 relays, no majority, so its map keeps their regions/],
])('says what the map has meanwhile: %d of 3 relays seen', (seen, isMajority, expected) => {
  const relay = { name: 'b.lab', isListed: true, isOwn: false, nodes: ['901a'], state: 'down' }
  const facts: Pick<RelayFacts, 'siblings' | 'fleet'> = {
    siblings: [],
    fleet: { majority: { seen, expected: 3, isMajority }, relays: [relay], conflicts: [] },
  }
  const nodes = fleetFindings(facts as RelayFacts).find(({ check }) => check === 'nodes')
  expect([nodes?.status, nodes?.advice]).toEqual(['warn', expect.stringMatching(expected)])
})
