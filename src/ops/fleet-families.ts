// The metric families of the fleet's state: how many relays are up, whether this relay sees most of them, and what became
// of the messages. The number of series does not depend on the number of relays. Runs on the control thread.

import { sample, type MetricFamily } from './metric-family.ts'

const STATES = ['up', 'draining', 'down'] as const

export interface FleetFigures {
  readonly relays: readonly { readonly isListed: boolean; readonly state: (typeof STATES)[number] }[]
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly conflicts: readonly unknown[]
  /** Messages so far by what became of them. */
  readonly results: ReadonlyMap<string, number>
}

export function fleetFamilies({ relays, majority, conflicts, results }: FleetFigures): MetricFamily[] {
  const listed = relays.filter(({ isListed }) => isListed)
  const countOf = (state: string): number => listed.filter((relay) => relay.state === state).length
  return [
    {
      name: 'derp_fleet_relays',
      type: 'gauge',
      help: 'Relays of the fleet as this relay knows them, itself included, by state.',
      samples: STATES.map((state) => sample(countOf(state), { state })),
    },
    {
      name: 'derp_fleet_relays_seen',
      type: 'gauge',
      help: 'Relays of those expected that this relay sees, itself included.',
      samples: [sample(majority.seen)],
    },
    {
      name: 'derp_fleet_relays_expected',
      type: 'gauge',
      help: 'Relays of the fleet, without those that have ended in order, and without those whose regions are off.',
      samples: [sample(majority.expected)],
    },
    {
      name: 'derp_fleet_conflicts',
      type: 'gauge',
      help: 'Pairs of relays that claim one node or one key, up to a hundred.',
      samples: [sample(conflicts.length)],
    },
    {
      name: 'derp_fleet_states_total',
      type: 'counter',
      help: 'States that other relays have told, by what became of them.',
      samples: [...results].map(([result, count]) => sample(count, { result })),
    },
  ]
}
