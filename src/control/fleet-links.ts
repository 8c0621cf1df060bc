// The links of all relay threads to siblings, as far as the fleet's state needs them: which siblings are there, and which
// thread tells each sibling the state of this relay. Sends nothing. Runs on the control thread.

import type { LinkEvidence } from '#fleet/fleet-state.ts'
import type { SiblingReport } from '#mesh/sibling-report.ts'

type Link = Pick<SiblingReport, 'name' | 'state' | 'key' | 'instance'>

/** Links to no sibling: to this relay itself, to a second name of a linked sibling, not needed so far, or closed. */
const NO_LINK = new Set(['self', 'alias', 'idle', 'closed'])

export class FleetLinks {
  readonly #byThread = new Map<number, readonly Link[]>()

  /** Returns the names of siblings that can be told the state of this relay, and could not before. */
  note(thread: number, links: readonly Link[]): readonly string[] {
    const before = this.#tellerOf()
    this.#byThread.set(thread, links)
    return [...this.#tellerOf()].flatMap(([name, teller]) => (before.get(name) === teller ? [] : [name]))
  }

  forget(thread: number): void {
    this.#byThread.delete(thread)
  }

  /** By thread: the names of the siblings that it is to tell. */
  get tellers(): ReadonlyMap<number, readonly string[]> {
    const names = new Map<number, string[]>()
    for (const [name, thread] of this.#tellerOf()) names.set(thread, [...(names.get(thread) ?? []), name])
    return names
  }

  /** Names that lead to this relay itself, or to a relay that has another name in the list. */
  get otherNames(): ReadonlySet<string> {
    const links = [...this.#byThread.values()].flat()
    return new Set(links.filter(({ state }) => state === 'self' || state === 'alias').map(({ name }) => name))
  }

  get evidence(): readonly LinkEvidence[] {
    const all = [...this.#byThread.values()].flat()
    const byName = Map.groupBy(all, ({ name }) => name)
    return [...byName].map(([name, links]) => {
      const up = links.find(({ state }) => state === 'up')
      const isNeeded = links.some(({ state }) => !NO_LINK.has(state))
      return {
        name,
        isUp: up !== undefined ? true : isNeeded ? false : undefined,
        key: up?.key,
        instance: up?.instance,
      }
    })
  }

  /** By sibling: the first thread whose link is up. Derpers name no run, and are told nothing. */
  #tellerOf(): ReadonlyMap<string, number> {
    const tellers = new Map<string, number>()
    for (const [thread, links] of [...this.#byThread].sort(([a], [b]) => a - b)) {
      for (const { name, state, instance } of links) {
        if (state === 'up' && instance !== undefined && !tellers.has(name)) tellers.set(name, thread)
      }
    }
    return tellers
  }
}
