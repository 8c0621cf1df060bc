// The overview of this relay and its fleet, put together from the relay's parts at the moment it is asked for, and the stream
// of the status page. What is shown of it is made in `ops/`. Runs on the control thread.

import { latencyMatrix, type MatrixLink } from '#fleet/latency-matrix.ts'
import { NodeState } from '#fleet/node-state.ts'
import type { Region } from '#fleet/region.ts'
import type { RelayView } from '#fleet/fleet-state.ts'
import type {
  Overview,
  OverviewLink,
  OverviewMap,
  OverviewRegion,
  OverviewRelay,
  RelayWord,
} from '#ops/overview.ts'
import { headroomOf } from '#ops/relay-quality.ts'
import type { StatusSource } from '#ops/status-pages.ts'
import { StatusStream } from '#ops/status-stream.ts'
import { packageVersion } from '#ops/version.ts'
import type { MetricParts } from './metric-sources.ts'
import type { Service } from './service.ts'

/** A page has a cell for each, and JSON a line: more than a fleet of thirty relays has. */
const LINKS_MAX = 1_000
/** A page that changes more often is restless. */
const SHOWN_MS = 2_000
/** Shorter than the time between two looks at the load: who asks sees each of them. */
const KEPT_MS = 500

export interface OverviewParts extends Pick<
  MetricParts,
  'settings' | 'log' | 'readiness' | 'quality' | 'drain' | 'fleet' | 'mesh' | 'certificates'
> {
  /** The map entry of a relay without a regions file; undefined: it has none. */
  readonly ownEntry: () => string | undefined
}

export class OverviewService implements Service, StatusSource {
  readonly stream: StatusStream
  readonly #parts: OverviewParts
  readonly #startedMs = Date.now()
  #last: { readonly atMs: number; readonly overview: Overview } | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: OverviewParts) {
    this.#parts = parts
    this.stream = new StatusStream({ overview: () => this.overview() })
  }

  get names(): readonly string[] {
    const { hostname, admin, adminNames } = this.#parts.settings
    return [hostname, ...adminNames, ...(admin === undefined ? [] : [admin.host])]
  }

  start(): void {
    this.#timer = setInterval(() => this.stream.update(), SHOWN_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.stream.close()
  }

  /** The same value for half a second, however many ask. */
  overview(): Overview {
    const nowMs = performance.now()
    if (this.#last === undefined || nowMs - this.#last.atMs >= KEPT_MS)
      this.#last = { atMs: nowMs, overview: this.#make() }
    return this.#last.overview
  }

  /** What everybody may know; cheap, since it is looked at all the time. */
  states(): Pick<Overview, 'state' | 'regions'> {
    const { fleet, mesh } = this.#parts
    const stateOf = (node: string): NodeState => fleet.fleet.stateOf(node)
    return {
      state: this.#word,
      regions: (mesh?.regions ?? []).map((region) => regionOf(region, [], stateOf)),
    }
  }

  get #word(): RelayWord {
    const { drain, readiness } = this.#parts
    if (drain.isDraining) return 'draining'
    return readiness.health.report().isReady ? 'serving' : 'notReady'
  }

  #make(): Overview {
    const { settings, log, readiness, quality, drain, fleet, mesh, certificates } = this.#parts
    const { checks } = readiness.health.report()
    const headroom = headroomOf(quality.read())
    const [life] = certificates?.status.certificates ?? []
    const regions = mesh?.regions ?? []
    // One that nobody lists and that is gone is no loss: its machine has another key now, or it was taken out of the file.
    const views = fleet.fleet.relays.filter(({ isListed, state }) => isListed || state !== NodeState.down)
    const relays = views.map((view) => relayOf(view, regions)).toSorted(byPlace)
    return {
      atMs: Date.now(),
      hostname: settings.hostname,
      nodes: mesh?.position.nodes ?? [],
      version: packageVersion(),
      startedMs: this.#startedMs,
      state: this.#word,
      failing: checks.filter(({ isOk }) => !isOk).map(({ name, detail }) => `${name}: ${detail}`),
      clientsLeft: drain.isDraining ? drain.numbers().remaining : undefined,
      load: quality.traffic.recent(),
      headroomRatio: headroom.least,
      headroomOf: headroom.least === headroom.threads ? 'threads' : 'capacity',
      certificate: life && {
        hostname: life.hostname,
        source: life.origin,
        notBeforeMs: life.notBeforeMs,
        notAfterMs: life.notAfterMs,
      },
      certificateFailure: certificates?.status.lastFailure,
      majority: fleet.fleet.majority,
      relays,
      links: latencyMatrix(views).links.slice(0, LINKS_MAX).map(linkOf),
      regions: regions.map((region) => regionOf(region, relays, (node) => fleet.fleet.stateOf(node))),
      events: log.recent.newest,
      map: this.#map(),
    }
  }

  #map(): OverviewMap | undefined {
    const map = this.#parts.mesh?.map
    if (map !== undefined) {
      const { text, version } = map.map('headscale')
      return { text, version, isStale: map.isStale }
    }
    const text = this.#parts.ownEntry()
    return text === undefined ? undefined : { text, version: undefined, isStale: false }
  }
}

/** In the same order on every relay of the fleet. */
function byPlace(one: OverviewRelay, other: OverviewRelay): number {
  const place = ({ region, nodes, name }: OverviewRelay): string =>
    `${region ?? 'z'} ${nodes[0] ?? ''} ${name}`
  return place(one) < place(other) ? -1 : 1
}

function relayOf(view: RelayView, regions: readonly Region[]): OverviewRelay {
  const { name, nodes, isOwn, state, last, ageMs } = view
  // What a relay carried before it ended is past.
  const now = state === NodeState.down ? undefined : last
  const region = regions.find((one) =>
    one.nodes.some((node) => nodes.includes(node.name) && node.isStandby !== true),
  )
  return {
    name,
    nodes,
    region: region?.id,
    isOwn,
    state,
    health: last?.health.state,
    failing: last?.health.failing ?? [],
    clients: now?.load.clients,
    bytesInPerSecond: now?.load.bytesInPerSecond,
    bytesOutPerSecond: now?.load.bytesOutPerSecond,
    headroomRatio: now?.capacity.headroomRatio,
    version: last?.version,
    certificateNotAfterMs: last?.certificateNotAfterMs,
    ageMs: ageMs && Math.round(ageMs),
  }
}

/** Older versions tell no median. */
function linkOf({ from, to, isUp, rttMs, rttMedianMs, jitterMs, lossRatio }: MatrixLink): OverviewLink {
  return { from, to, isUp, rttMs: rttMedianMs ?? rttMs, jitterMs, lossRatio }
}

function regionOf(
  { id, code, name, latitude, longitude, state, nodes }: Region,
  relays: readonly OverviewRelay[],
  stateOf: (node: string) => NodeState,
): OverviewRegion {
  const own = nodes.filter(({ isStandby }) => isStandby !== true)
  const here = relays.filter(({ region }) => region === id)
  return {
    id,
    code,
    name,
    latitude,
    longitude,
    state: state ?? 'active',
    relays: own.length,
    up: own.filter((node) => stateOf(node.name) !== NodeState.down).length,
    clients: here.reduce((sum, { clients }) => sum + (clients ?? 0), 0),
  }
}
