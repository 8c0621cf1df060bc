// States that relays tell in tests, complete and within bounds, and the messages of them.

import { createHash } from 'node:crypto'
import type { FleetState, TakeResult } from '#fleet/fleet-state.ts'
import { writeRelayState, type RelayState } from '#fleet/relay-state.ts'

/** A key that nobody has, by name. */
export function keyOf(name: string): string {
  return `nodekey:${createHash('sha256').update(name).digest('hex')}`
}

export function stateOf(name: string, changes: Partial<RelayState> = {}): RelayState {
  return {
    name: `${name}.lab`,
    nodes: [name],
    key: keyOf(name),
    instance: `${name} 1`,
    run: 1,
    sequence: 1,
    everyMs: 5_000,
    version: '1.2.3',
    health: { state: 'ready', failing: [] },
    load: {
      clients: 12,
      homeClients: 10,
      bytesInPerSecond: 1_000,
      packetsInPerSecond: 2,
      busiestThreadShare: 0.25,
    },
    capacity: {},
    certificateNotAfterMs: 1_800_000_000_000,
    links: [
      {
        to: 'other.lab',
        isUp: true,
        rttMs: 12.5,
        rttMinMs: 12,
        rttMedianMs: 12.25,
        jitterMs: 0.25,
        lossRatio: 0,
        queueDelayMs: 0.5,
      },
    ],
    ...changes,
  }
}

export function messageOf(name: string, changes: Partial<RelayState> = {}): Uint8Array {
  return writeRelayState(stateOf(name, changes))
}

/** Relays that tell a fleet their states, each message with the next number unless it has one of its own. */
export class Tellers {
  readonly #fleet: FleetState
  /** Of the last message. */
  sequence = 1

  constructor(fleet: FleetState) {
    this.#fleet = fleet
  }

  tell(name: string, changes: Partial<RelayState> = {}, carrier: 'link' | 'directory' = 'link'): TakeResult {
    const message = messageOf(name, { sequence: ++this.sequence, ...changes })
    return this.#fleet.take(message, { key: changes.key ?? keyOf(name), carrier }).result
  }
}
