// The siblings that the relay threads are given: those that options list, those that DNS names resolve to and those of the
// fleet's file together. Has no links of its own; each relay thread dials its siblings itself. Runs on the control thread.

import type { Settings } from '#config/settings.ts'
import { DnsSiblings } from '#fleet/dns-siblings.ts'
import { relaysOff } from '#fleet/fleet-position.ts'
import type { ListedRelay } from '#fleet/fleet-state.ts'
import type { Region } from '#fleet/region.ts'
import type { Sibling } from '#fleet/sibling.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { mapAnswers } from '#ops/map-pages.ts'
import type { Reloads } from '#ops/reloads.ts'
import type { ToRelayThread } from '#worker/thread-messages.ts'
import { MapMemory } from './map-memory.ts'
import { MapService, type FleetView } from './map-service.ts'
import type { FileReload } from './content-file.ts'
import { MeshFiles } from './mesh-files.ts'
import type { Run } from './run.ts'
import type { Service } from './service.ts'
import { shortList } from './short-list.ts'

export interface MeshServiceParts {
  readonly settings: Settings
  readonly log: Log
  readonly reloads: Reloads
  /** Sends a message to all relay threads. */
  readonly broadcast: (message: ToRelayThread) => void
  /** The threads were given all siblings; called once every DNS name has been answered, and for each later edition. */
  readonly onSiblings: (edition: number) => void
  /** This relay has another name among its siblings. */
  readonly onRenamed: () => void
  /** Called once the service has started. */
  readonly fleet: () => FleetView
  readonly run: Pick<Run, 'isNewest'>
  /** Undefined: nothing is kept over a restart. */
  readonly stateFolder: string | undefined
}

export class MeshService implements Service {
  readonly #parts: MeshServiceParts
  readonly #dns: DnsSiblings
  readonly #files: MeshFiles
  /** The fleet's DERP map; undefined without a regions file. */
  readonly map: MapService | undefined
  #name: string | undefined
  /** The map is on the DERP port as well. */
  #isMapServed: boolean
  /** The siblings that the threads were given last. */
  #siblings: readonly Sibling[] = []
  /** How often the threads were given siblings. */
  #edition = 0

  constructor(parts: MeshServiceParts) {
    this.#parts = parts
    const { settings, log, reloads } = parts
    this.#files = new MeshFiles({
      settings,
      log,
      reloads,
      onRegions: () => this.#onRegions(),
      onMeshKeys: (keys) => parts.broadcast({ kind: 'meshKeys', keys }),
    })
    this.#name = this.#files.position.name
    this.#isMapServed = settings.mesh.isMapServed
    this.map = settings.mesh.regionsPath === undefined ? undefined : this.#makeMap()
    this.#dns = new DnsSiblings({
      names: settings.mesh.dnsNames,
      onChange: () => this.#onDnsSiblings(),
      onProblem: (name, error) => log.warn(LogEvent.meshDnsFailed, { name, reason: error.message }),
    })
  }

  /** This relay's name among its siblings; undefined if the regions file does not tell it. */
  get name(): string | undefined {
    return this.#name
  }

  get natsCredentials(): string {
    return this.#files.credentials
  }

  /** The regions of this relay, and its names as a node, by the regions file in use. */
  get position(): { readonly regions: readonly number[]; readonly nodes: readonly string[] } {
    const { regions, nodes } = this.#files.position
    return { regions: [...regions], nodes }
  }

  /** The regions of the file in use; another list after each change of the file. */
  get fileRegions(): readonly Region[] {
    return this.#files.regions
  }

  /** All relays of the fleet: the siblings, and this one. */
  get relays(): readonly ListedRelay[] {
    const { name = this.#parts.settings.hostname, nodes } = this.#files.position
    const off = relaysOff(this.#files.regions)
    const own = { name, nodes, isOwn: true, isOff: off.has(name) }
    const others = this.#siblings.filter((sibling) => sibling.name !== name)
    return [
      own,
      ...others.map((one) => ({ name: one.name, nodes: one.nodes, isOwn: false, isOff: off.has(one.name) })),
    ]
  }

  /** Those of the regions file in use. */
  get regions(): readonly Region[] {
    return this.#files.regions
  }

  /** The region of a relay by its name, by the regions file in use: of a standby the one where it is. */
  regionOf(name: string): number | undefined {
    return this.#files.regionOf(name)
  }

  start(): void {
    this.#sendSiblings()
    this.#dns.start()
    this.#files.start()
    this.map?.start()
    this.#publishMap()
  }

  /** Whether the map is on the DERP port from now on. */
  serveMap(isServed: boolean): void {
    if (isServed === this.#isMapServed) return
    this.#isMapServed = isServed
    if (isServed) this.#publishMap()
    else this.#parts.broadcast({ kind: 'publishedPages', pages: [] })
  }

  /** Reads all files now. */
  async reload(): Promise<readonly FileReload[]> {
    return await this.#files.reload()
  }

  stop(): void {
    this.map?.stop()
    this.#dns.stop()
    this.#files.stop()
  }

  #makeMap(): MapService {
    const { settings, log, fleet, run, stateFolder } = this.#parts
    return new MapService({
      regions: () => this.#files.regions,
      fleet,
      key: settings.mesh.mapKey,
      log,
      holdDowns: settings.mesh.mapHoldDowns,
      memory: stateFolder === undefined ? undefined : new MapMemory(stateFolder, log),
      isInCharge: () => run.isNewest,
      onChange: () => this.#publishMap(),
    })
  }

  #publishMap(): void {
    if (this.map === undefined || !this.#isMapServed) return
    const pages = mapAnswers(this.map).map(({ path, status, text, contentType, headers }) => {
      const more = { 'Content-Type': contentType, 'X-Content-Type-Options': 'nosniff', ...headers }
      return { path, status: status === 200 ? 200 : 404, body: text, fields: Object.entries(more) } as const
    })
    this.#parts.broadcast({ kind: 'publishedPages', pages })
  }

  #onRegions(): void {
    const { name } = this.#files.position
    if (name !== this.#name) {
      this.#name = name
      this.#parts.onRenamed()
    }
    this.#sendSiblings()
  }

  #onDnsSiblings(): void {
    const before = this.#siblingNames()
    const edition = this.#sendSiblings()
    const after = this.#siblingNames()
    const added = [...after].filter((name) => !before.has(name))
    const removed = [...before].filter((name) => !after.has(name))
    if (added.length + removed.length === 0) return
    this.#parts.log.info(LogEvent.siblingsChanged, {
      edition,
      added: shortList(added),
      removed: shortList(removed),
    })
  }

  #siblingNames(): ReadonlySet<string> {
    return new Set(this.#siblings.map(({ name }) => name))
  }

  #sendSiblings(): number {
    const { settings, broadcast, onSiblings } = this.#parts
    const listed: readonly Sibling[] = [...settings.mesh.siblings, ...this.#dns.siblings]
    // The last of a name counts: the regions file takes precedence over lists and DNS.
    const all = [...listed, ...this.#files.position.siblings]
    const siblings = [...new Map(all.map((sibling) => [sibling.name, sibling])).values()]
    const edition = ++this.#edition
    broadcast({ kind: 'siblings', edition, siblings })
    this.#siblings = siblings
    if (this.#dns.areAllAnswered) onSiblings(edition)
    return edition
  }
}
