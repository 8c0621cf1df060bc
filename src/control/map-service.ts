// The fleet's DERP map while the relay serves: the held map of the regions file in use and of the states of its nodes, as
// documents that are made once for each change. Of several runs of this relay the newest one follows the fleet; one that starts
// takes what the earlier one has served from the state folder. Runs on the control thread.

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { awakeClock } from '#fleet/awake-clock.ts'
import type { MapFormat } from '#fleet/derp-map-writer.ts'
import { HeldMap, type HoldDowns, type MapChanges } from '#fleet/held-map.ts'
import { NodeState } from '#fleet/node-state.ts'
import { mapDocument, type MapDocument } from '#fleet/map-document.ts'
import type { Region } from '#fleet/region.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MapFigures } from '#ops/map-families.ts'
import type { MapSource } from '#ops/map-pages.ts'
import type { MapMemory } from './map-memory.ts'
import type { Service } from './service.ts'

/** Much shorter than the hold-downs, and long enough to cost nothing with ten thousand nodes. */
const UPDATE_MS = 1_000

/** What this relay knows of the fleet. */
export interface FleetView {
  /** The state of a node of the file, by its name; undefined while nothing is known of it. */
  seenStateOf(nodeName: string): NodeState | undefined
  /** Whether this relay sees most of the fleet's relays. */
  readonly majority: { readonly isMajority: boolean }
}

export interface MapServiceParts {
  /** The regions of the file in use; another list after each change of the file. */
  readonly regions: () => readonly Region[]
  readonly fleet: () => FleetView
  /** Ed25519 private key in PEM. */
  readonly key: string | undefined
  readonly log: Log
  readonly holdDowns: HoldDowns
  /** Undefined without a state folder. */
  readonly memory?: MapMemory | undefined
  /** Whether this run of the relay is in charge: what it serves is what counts. */
  readonly isInCharge: () => boolean
  /** The documents are others from now on. */
  readonly onChange: () => void
}

export class MapService implements Service, MapSource {
  readonly #parts: MapServiceParts
  readonly #key: KeyObject | undefined
  #held: HeldMap
  /** Of held maps before this one. */
  #earlierChanges: MapChanges = { removals: 0, returns: 0, edits: 0 }
  #holdDowns: HoldDowns
  readonly #documents = new Map<MapFormat, MapDocument>()
  #file: readonly Region[]
  /** Nodes of which something was known since the start. */
  readonly #heardOf = new Set<string>()
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: MapServiceParts) {
    this.#parts = parts
    this.#key = parts.key === undefined ? undefined : createPrivateKey(parts.key)
    this.#file = parts.regions()
    this.#holdDowns = parts.holdDowns
    this.#held = this.#makeHeld()
  }

  /** The map now. A change of the file is in it at once. */
  map(form: MapFormat): MapDocument {
    if (this.#parts.regions() !== this.#file) this.#update()
    const known = this.#documents.get(form)
    if (known !== undefined) return known
    const document = mapDocument(form, this.#held.regions, this.#key)
    this.#documents.set(form, document)
    return document
  }

  get isStale(): boolean {
    return this.#held.isStale
  }

  get figures(): MapFigures {
    const changes = sum(this.#earlierChanges, this.#held.changes)
    return { isStale: this.isStale, file: this.#file, regions: this.#held.regions.length, changes }
  }

  useHoldDowns(holdDowns: HoldDowns): void {
    this.#holdDowns = holdDowns
    this.#held.useHoldDowns(holdDowns)
  }

  start(): void {
    this.#timer = setInterval(() => this.#update(), UPDATE_MS)
    this.#update()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #makeHeld(): HeldMap {
    const away = this.#parts.memory?.read()
    const holdDowns = this.#holdDowns
    return new HeldMap({ regions: this.#file, away, holdDowns, now: awakeClock(() => performance.now()) })
  }

  #update(): void {
    const { isInCharge, memory } = this.#parts
    if (memory !== undefined && !isInCharge()) return this.#followEarlierRun()
    const wasStale = this.isStale
    const before = this.#held.changes
    this.#useFile()
    const isChanged = this.#look()
    memory?.keep(this.#held.away)
    this.#report({ isChanged, wasStale, before })
  }

  /** Until this run is in charge, and after that: the map is what the run in charge serves. */
  #followEarlierRun(): void {
    const before = this.#held.regions
    this.#file = this.#parts.regions()
    this.#earlierChanges = this.figures.changes
    this.#held = this.#makeHeld()
    if (isDeepStrictEqual(before, this.#held.regions)) return
    this.#documents.clear()
    this.#parts.onChange()
  }

  #useFile(): void {
    const file = this.#parts.regions()
    if (file === this.#file) return
    this.#file = file
    this.#held.useFile(file)
  }

  /** Returns whether the map has changed. */
  #look(): boolean {
    const view = this.#parts.fleet()
    return this.#held.update((name) => this.#seenStateOf(name, view), view.majority.isMajority)
  }

  /** A node of which nothing is known any more counts as up. One that was never heard of stays as it is in the map. */
  #seenStateOf(name: string, view: FleetView): NodeState | undefined {
    const state = view.seenStateOf(name)
    if (state !== undefined) this.#heardOf.add(name)
    return state ?? (this.#heardOf.has(name) ? NodeState.up : undefined)
  }

  #report({ isChanged, wasStale, before }: Report): void {
    const { log, onChange } = this.#parts
    if (this.isStale && !wasStale) log.warn(LogEvent.mapStale)
    if (wasStale && !this.isStale) log.info(LogEvent.mapCurrent)
    if (isChanged) this.#documents.clear()
    if (isChanged || this.isStale !== wasStale) onChange()
    const { removals, returns } = this.#held.changes
    // What an edit of the file changes is in the line regions_changed.
    if (!isChanged || (removals === before.removals && returns === before.returns)) return
    log.info(LogEvent.mapChanged, { version: this.map('json').version, removals, returns })
  }
}

function sum(some: MapChanges, others: MapChanges): MapChanges {
  return {
    removals: some.removals + others.removals,
    returns: some.returns + others.returns,
    edits: some.edits + others.edits,
  }
}

interface Report {
  readonly isChanged: boolean
  readonly wasStale: boolean
  readonly before: MapFigures['changes']
}
