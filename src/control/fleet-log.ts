// What the log says of the fleet: relays that are down, drain or are up again, relays that claim the same, the loss of the
// majority, and messages that make no sense. Each once when it begins; a sibling that sends nonsense for hours writes a
// line a minute. Runs on the control thread.

import type { FleetState, StateSource, Taken } from '#fleet/fleet-state.ts'
import type { RelayState } from '#fleet/relay-state.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { parsePublicKey, shortKey } from '#protocol/node-key.ts'

/** Lines about messages of one kind. */
const LINE_EVERY_MS = 60_000
/** A relay that has just started has heard of nobody yet. */
const MINORITY_LOOKS_MIN = 10

export class FleetLog {
  readonly #log: Log
  readonly #fleet: FleetState
  /** By the name of a listed relay. */
  #states: ReadonlyMap<string, string> = new Map()
  #conflicts: ReadonlySet<string> = new Set()
  #hadMajority = true
  /** Looks in a row without a majority. */
  #minorityLooks = 0
  /** By kind of message: when a line was written, and how many had none since. */
  readonly #lines = new Map<string, { writtenMs: number; suppressed: number }>()

  constructor(log: Log, fleet: FleetState) {
    this.#log = log
    this.#fleet = fleet
  }

  /** What became of a message. Old ones are usual, and are only counted. */
  taken({ key, carrier }: StateSource, { result, problems }: Taken): void {
    const isUsual = result === 'duplicate' || result === 'stale' || result === 'former_run'
    if (isUsual || (result === 'taken' && problems.length === 0)) return
    const nowMs = performance.now()
    const line = this.#lines.get(result) ?? { writtenMs: -Infinity, suppressed: 0 }
    this.#lines.set(result, line)
    if (nowMs - line.writtenMs < LINE_EVERY_MS) return void line.suppressed++
    const { suppressed } = line
    this.#log.warn(LogEvent.fleetStateRefused, { relay: shortOf(key), carrier, result, problems, suppressed })
    Object.assign(line, { writtenMs: nowMs, suppressed: 0 })
  }

  /** To be called about once a second. */
  look(): void {
    this.#lookAtRelays()
    this.#lookAtConflicts()
    const { seen, expected, isMajority } = this.#fleet.majority
    this.#minorityLooks = isMajority ? 0 : this.#minorityLooks + 1
    const isLost = this.#minorityLooks >= MINORITY_LOOKS_MIN
    if (this.#hadMajority ? !isLost : !isMajority) return
    this.#hadMajority = isMajority
    if (isMajority) this.#log.info(LogEvent.fleetMajorityBack, { seen, expected })
    else this.#log.warn(LogEvent.fleetMajorityLost, { seen, expected })
  }

  #lookAtRelays(): void {
    const relays = this.#fleet.relays.filter(({ isListed, isOwn }) => isListed && !isOwn)
    for (const { name, nodes, state, ageMs, last } of relays) {
      const before = this.#states.get(name) ?? 'up'
      if (state === before) continue
      if (state === 'up') this.#log.info(LogEvent.fleetRelayUp, { relay: name, nodes })
      if (state === 'draining') this.#log.info(LogEvent.fleetRelayDraining, { relay: name, nodes })
      if (state === 'down') {
        this.#log.warn(LogEvent.fleetRelayDown, { relay: name, nodes, reason: whyDown(last, ageMs) })
      }
    }
    this.#states = new Map(relays.map(({ name, state }) => [name, state]))
  }

  #lookAtConflicts(): void {
    const conflicts = this.#fleet.conflicts.map(({ what, owner, other }) => `${what} ${owner} ${other}`)
    for (const { what, owner, other } of this.#fleet.conflicts) {
      if (this.#conflicts.has(`${what} ${owner} ${other}`)) continue
      this.#log.warn(LogEvent.fleetConflict, { what, owner: shortOf(owner), other: shortOf(other) })
    }
    this.#conflicts = new Set(conflicts)
  }
}

function whyDown(last: RelayState | undefined, ageMs: number | undefined): string {
  if (last === undefined || ageMs === undefined) return 'it cannot be reached'
  return last.health.state === 'ended'
    ? 'it has ended'
    : `it has told no state for ${Math.round(ageMs / 1_000)} s`
}

function shortOf(key: string): string {
  return shortKey(parsePublicKey(key) ?? new Uint8Array(0))
}
