// The state of each node without its blips: a state is believed when it has lasted for a hold-down. A node that is away,
// draining or down, is away once, so that a drain and the restart after it count as one absence. A change that clients are
// not told of yet is not believed yet either: a node that is back before they are told has not been away for them.

import { NodeState, type SeenStateOf, type StateOf } from './node-state.ts'

interface Steady {
  readonly state: NodeState
  /** Since when the node has been better or worse than the state; undefined: it is in it. */
  readonly differsSinceMs: number | undefined
  readonly isWorse: boolean
}

/** What to believe of the nodes of the file after a look at them. */
export interface Look {
  readonly of: StateOf
  /** Believes it for these nodes, by name. Of the others only the time of their absence is kept. */
  keep(isTold: (name: string) => boolean): void
}

/** The higher, the more clients can do with it. */
const RANK: Readonly<Record<NodeState, number>> = { up: 2, draining: 1, down: 0 }

/** Hold-downs, which may change at any time. */
interface Times {
  readonly removalMs: number
  readonly returnMs: number
}

export class SteadyStates {
  readonly #times: () => Times
  readonly #startAway: ReadonlyMap<string, NodeState>
  #nodes: ReadonlyMap<string, Steady> | undefined = undefined

  /** @param startAway nodes that were away when somebody knew of them last; all others are up at the start */
  constructor(times: () => Times, startAway: ReadonlyMap<string, NodeState> = new Map()) {
    this.#times = times
    this.#startAway = startAway
  }

  /** Nodes that are not up, by what clients were told. */
  get away(): ReadonlyMap<string, NodeState> {
    if (this.#nodes === undefined) return this.#startAway
    const states = [...this.#nodes].map(([name, { state }]) => [name, state] as const)
    return new Map(states.filter(([, state]) => state !== NodeState.up))
  }

  /** The nodes of the file now. Those that it did not have before are taken as they are. */
  look(names: readonly string[], stateOf: SeenStateOf, nowMs: number): Look {
    const known = this.#nodes
    // At the start nothing is known of the others yet, and what was known last is the best there is.
    const startOf = (name: string): NodeState =>
      (known === undefined ? this.#startAway.get(name) : stateOf(name)) ?? NodeState.up
    const before = new Map(names.map((name) => [name, known?.get(name) ?? steady(startOf(name))]))
    const after = new Map([...before].map(([name, one]) => [name, this.#next(one, stateOf(name), nowMs)]))
    return {
      // A node that is not in the file is down.
      of: (name) => after.get(name)?.state ?? NodeState.down,
      keep: (isTold) => {
        const kept = [...after].map(([name, one]) => {
          const old = before.get(name) ?? one
          return [name, isTold(name) ? one : waiting(old, one, nowMs)] as const
        })
        this.#nodes = new Map(kept)
      },
    }
  }

  /** Absences count from now on: this relay was cut off itself, and the others come back one by one. */
  restart(nowMs: number): void {
    const absent = (one: Steady): Steady => (one.isWorse ? { ...one, differsSinceMs: nowMs } : one)
    this.#nodes = new Map([...(this.#nodes ?? [])].map(([name, one]) => [name, absent(one)]))
  }

  #next(before: Steady, seen: NodeState | undefined, nowMs: number): Steady {
    if (seen === undefined || seen === before.state) return steady(before.state)
    const differs = differing(before, seen, nowMs)
    const { removalMs, returnMs } = this.#times()
    const holdMs = differs.isWorse ? removalMs : returnMs
    return nowMs - (differs.differsSinceMs ?? nowMs) >= holdMs ? steady(seen) : differs
  }
}

/** As before, with the time since when the node is seen in another state. Draining and down are one absence. */
function differing(before: Steady, seen: NodeState, nowMs: number): Steady {
  const isWorse = RANK[seen] < RANK[before.state]
  const differsSinceMs = before.isWorse === isWorse ? (before.differsSinceMs ?? nowMs) : nowMs
  return { state: before.state, differsSinceMs, isWorse }
}

function waiting(before: Steady, after: Steady, nowMs: number): Steady {
  return after.state === before.state ? after : differing(before, after.state, nowMs)
}

function steady(state: NodeState): Steady {
  return { state, differsSinceMs: undefined, isWorse: false }
}
