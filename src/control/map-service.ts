// The fleet's DERP map while the relay serves: the held map of the regions file in use and of the states of its nodes, as
// documents that are made once for each change. Runs on the control thread.

import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { MapFormat } from '#fleet/derp-map-writer.ts'
import { HOLD_DOWNS, HeldMap, type HoldDowns } from '#fleet/held-map.ts'
import type { NodeState } from '#fleet/node-state.ts'
import { mapDocument, type MapDocument } from '#fleet/map-document.ts'
import type { Region } from '#fleet/region.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import type { MapFigures } from '#ops/map-families.ts'
import type { MapSource } from '#ops/map-pages.ts'
import type { Service } from './service.ts'

/** Much shorter than the hold-downs, and long enough to cost nothing with ten thousand nodes. */
const UPDATE_MS = 1_000

/** What this relay knows of the fleet. */
export interface FleetView {
  /** The state of a node of the file, by its name. */
  stateOf(nodeName: string): NodeState
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
  /** Undefined: those of HeldMap. */
  readonly holdDowns?: HoldDowns
}

export class MapService implements Service, MapSource {
  readonly #parts: MapServiceParts
  readonly #key: KeyObject | undefined
  readonly #held: HeldMap
  readonly #documents = new Map<MapFormat, MapDocument>()
  #file: readonly Region[]
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: MapServiceParts) {
    this.#parts = parts
    this.#key = parts.key === undefined ? undefined : createPrivateKey(parts.key)
    this.#file = parts.regions()
    const { holdDowns = HOLD_DOWNS } = parts
    this.#held = new HeldMap({ regions: this.#file, holdDowns, now: () => performance.now() })
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
    return { isStale: this.isStale, regions: this.#held.regions.length, changes: this.#held.changes }
  }

  start(): void {
    this.#timer = setInterval(() => this.#update(), UPDATE_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #update(): void {
    const { regions, fleet, log } = this.#parts
    const file = regions()
    if (file !== this.#file) {
      this.#file = file
      this.#held.useFile(file)
    }
    const wasStale = this.isStale
    const before = this.#held.changes
    const view = fleet()
    const isChanged = this.#held.update((name) => view.stateOf(name), view.majority.isMajority)
    if (this.isStale && !wasStale) log.warn(LogEvent.mapStale)
    if (wasStale && !this.isStale) log.info(LogEvent.mapCurrent)
    if (!isChanged) return
    this.#documents.clear()
    const { removals, returns } = this.#held.changes
    // What an edit of the file changes is in the line regions_changed.
    if (removals === before.removals && returns === before.returns) return
    log.info(LogEvent.mapChanged, { version: this.map('json').version, removals, returns })
  }
}
