// The map that clients are told of now. It follows liveMap(), but slowly: a client closes its connections to every region
// whose entry changes, so a blip is not a change, a node leaves and returns only after hold-downs, and a region's entry
// changes at most once in a hold-down. What the operator writes in the file applies at once. A relay that does not see the
// majority of the fleet drops no region. Has no timer: the owner calls update() every second or so.

import { fileMap, liveMap } from './live-map.ts'
import { NodeState, type SeenStateOf } from './node-state.ts'
import { RegionState, type Region } from './region.ts'
import { siblingName } from './sibling.ts'
import { SteadyStates } from './steady-states.ts'

/**
 * Clients find out by themselves, within seconds, that a relay is gone, so the map need not hurry. A restart or an upgrade
 * takes less than a minute, and is to change nothing. A relay that fails again and again is to stay out.
 */
export interface HoldDowns {
  /** How long a node is away before the map says so, and a region's entry stays before it shrinks. */
  readonly removalMs: number
  /** How long a node is back before the map says so, and a region's entry stays before it grows. */
  readonly returnMs: number
}

/** Changes of region entries since the start, by cause. */
export interface MapChanges {
  readonly removals: number
  readonly returns: number
  readonly edits: number
}

interface HeldMapOptions {
  /** The regions of the file. */
  readonly regions: readonly Region[]
  /** Nodes that were away by the map that was served last, before a restart. They stay away until they are seen. */
  readonly away?: ReadonlyMap<string, NodeState> | undefined
  readonly holdDowns: HoldDowns
  /** Milliseconds that only grow. */
  readonly now: () => number
}

export class HeldMap {
  #holdDowns: HoldDowns
  readonly #now: () => number
  readonly #states: SteadyStates
  /** When each region's entry changed, except by an edit. */
  readonly #changedMs = new Map<number, number>()
  readonly #changes = { removals: 0, returns: 0, edits: 0 }
  /** Regions of which the file says something new. */
  readonly #edited = new Set<number>()
  #file: readonly Region[]
  #map: readonly Region[]
  #isStale = false

  constructor({ regions, away, holdDowns, now }: HeldMapOptions) {
    this.#holdDowns = holdDowns
    this.#now = now
    this.#states = new SteadyStates(() => this.#holdDowns, away)
    this.#file = regions
    this.#map = liveMap(regions, (name) => away?.get(name) ?? NodeState.up)
  }

  /** Uses other hold-downs from the next update on, also for what has begun. */
  useHoldDowns(holdDowns: HoldDowns): void {
    this.#holdDowns = holdDowns
  }

  /** Nodes that are away by this map, and how; a later run begins with them. */
  get away(): ReadonlyMap<string, NodeState> {
    return this.#states.away
  }

  /** Never empty, if the file has a region that is on. */
  get regions(): readonly Region[] {
    return this.#map
  }

  /** Regions may be gone that the map still has: this relay does not see the majority of the file's relays. */
  get isStale(): boolean {
    return this.#isStale
  }

  get changes(): MapChanges {
    return { ...this.#changes }
  }

  /** Uses another content of the file from the next update on. */
  useFile(regions: readonly Region[]): void {
    const before = new Map(this.#file.map((region) => [region.id, JSON.stringify(region)]))
    const after = new Map(regions.map((region) => [region.id, JSON.stringify(region)]))
    for (const id of [...before.keys(), ...after.keys()]) {
      if (before.get(id) !== after.get(id)) this.#edited.add(id)
    }
    this.#file = regions
  }

  /**
   * Looks at the states of all nodes. Returns whether the map has changed. A node of which nothing is known yet stays as it
   * is in the map.
   * @param hasMajority whether this relay sees most of the fleet's relays; undefined: most are not down
   */
  update(stateOf: SeenStateOf, hasMajority = seesMajority(this.#file, stateOf)): boolean {
    const now = this.#now()
    const names = this.#file.flatMap(({ nodes }) => nodes.map(({ name }) => name))
    if (this.#isStale && hasMajority) this.#states.restart(now)
    const look = this.#states.look(names, stateOf, now)
    const wanted = liveMap(this.#file, look.of, this.#map)
    const isNoneLive = wanted === this.#map
    const lost = this.#lost(wanted)
    this.#isStale = (isNoneLive || lost.length > 0) && !hasMajority
    const isChanged = this.#apply(this.#isStale ? [...wanted, ...lost] : wanted, now)
    if (!isNoneLive) this.#edited.clear()
    look.keep(isNoneLive ? () => false : this.#isToldOf(wanted))
    return isChanged
  }

  /**
   * Regions of the map that the operator has not taken out of the file, but that have no live node: as clients see them, or as
   * the file has them since an edit.
   */
  #lost(wanted: readonly Region[]): readonly Region[] {
    const [served, left] = [byId(this.#map), byId(wanted)]
    const lost = fileMap(this.#file).filter(({ id }) => served.has(id) && !left.has(id))
    return lost.map((region) => (this.#edited.has(region.id) ? region : (served.get(region.id) ?? region)))
  }

  /** Whether clients see a node's region as it is wanted. */
  #isToldOf(wanted: readonly Region[]): (nodeName: string) => boolean {
    const [served, next] = [byId(this.#map), byId(wanted)]
    const untold = this.#file.filter(({ id }) => !isSame(served.get(id), next.get(id)))
    const names = new Set(untold.flatMap(({ nodes }) => nodes.map(({ name }) => name)))
    return (name) => !names.has(name)
  }

  #apply(wanted: readonly Region[], now: number): boolean {
    const [old, next] = [byId(this.#map), byId(wanted)]
    const ids = [...new Set([...old.keys(), ...next.keys()])].sort((a, b) => a - b)
    const due = ids.filter((id) => this.#isDue(id, [old.get(id), next.get(id)], now))
    const map = ids.flatMap((id) => (due.includes(id) ? next.get(id) : old.get(id)) ?? [])
    // No majority drops them all; but what Headscale makes of an empty map is worth a second look.
    if (due.length === 0 || map.length === 0) return false
    for (const id of due) this.#count(id, isLess(old.get(id), next.get(id)), now)
    this.#map = map
    return true
  }

  #isDue(id: number, [old, next]: readonly [Region | undefined, Region | undefined], now: number): boolean {
    if (isSame(old, next)) return false
    if (this.#edited.has(id)) return true
    if (this.#isStale) return false
    const { removalMs, returnMs } = this.#holdDowns
    const changed = this.#changedMs.get(id) ?? Number.NEGATIVE_INFINITY
    return now - changed >= (isLess(old, next) ? removalMs : returnMs)
  }

  #count(id: number, isRemoval: boolean, now: number): void {
    if (this.#edited.has(id)) {
      this.#changes.edits++
      return
    }
    this.#changedMs.set(id, now)
    if (isRemoval) this.#changes.removals++
    else this.#changes.returns++
  }
}

function isSame(one: Region | undefined, other: Region | undefined): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

function byId(regions: readonly Region[]): ReadonlyMap<number, Region> {
  return new Map(regions.map((region) => [region.id, region]))
}

/** Clients lose something by the change: the region, a node, or the region as a possible home. */
function isLess(old: Region | undefined, next: Region | undefined): boolean {
  if (old === undefined || next === undefined) return next === undefined
  const isMarked = next.state === RegionState.draining && old.state !== RegionState.draining
  return isMarked || next.nodes.length < old.nodes.length
}

/** A standby is one relay, whatever number of nodes it is. Relays of a region that is off need not run. */
function seesMajority(regions: readonly Region[], stateOf: SeenStateOf): boolean {
  const nodes = regions.flatMap((region) => (region.state === RegionState.off ? [] : region.nodes))
  const seen = nodes.filter(({ name }) => stateOf(name) !== NodeState.down).map(siblingName)
  return new Set(seen).size * 2 > new Set(nodes.map(siblingName)).size
}
