// The admin port as a service: its pages, fed by the parts of the relay. What a page shows is made in `ops/`. Runs on the
// control thread.

import type { Endpoint } from '#config/endpoint.ts'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import type { TokenVerbs } from '#ops/token-verbs.ts'
import { fleetText } from '#ops/fleet-page.ts'
import { Metrics } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { packageVersion } from '#ops/version.ts'
import type { InheritedSocket } from '#transport/inherited-sockets.ts'
import { yieldToPackets } from '#worker/thread-priority.ts'
import { metricSources, type MetricParts } from './metric-sources.ts'
import type { ClientsService } from './clients-service.ts'
import { PageFlood } from './page-flood.ts'
import type { RegionsService } from './regions-service.ts'
import type { OverviewService } from './overview-service.ts'
import type { Service } from './service.ts'

export interface AdminParts extends MetricParts {
  /** Verbs for callers with a token. */
  readonly tokenVerbs: TokenVerbs
  /** Undefined without a regions file. */
  readonly regions: RegionsService | undefined
  readonly overview: OverviewService
  readonly clients: ClientsService
}

export class AdminService implements Service {
  readonly #parts: AdminParts
  readonly #inherited: InheritedSocket | undefined
  readonly #flood = new PageFlood({ now: () => performance.now(), onChange: yieldToPackets })
  #endpoint: Endpoint
  #server: AdminServer | undefined = undefined
  #scraped = Promise.withResolvers<void>()

  /** @param inherited a socket that listens there already; undefined: make one */
  constructor(endpoint: Endpoint, inherited: InheritedSocket | undefined, parts: AdminParts) {
    this.#endpoint = endpoint
    this.#inherited = inherited
    this.#parts = parts
  }

  /** Where the server listens; before the start, where it is to listen. */
  get endpoint(): Endpoint {
    return this.#endpoint
  }

  /** Resolves when the metrics are read for the next time. */
  async scraped(): Promise<void> {
    this.#scraped = Promise.withResolvers<void>()
    await this.#scraped.promise
  }

  async start(): Promise<void> {
    const { clients, log, mesh, overview, quality, readiness, regions, tokenVerbs } = this.#parts
    const sources = metricSources(this.#parts)
    const pages = new AdminPages({
      metrics: new Metrics(sources),
      varz: new Varz(sources),
      health: readiness.health,
      status: overview,
      clients,
      map: mesh?.map,
      regions,
      fleet: () => fleetText(this.#parts.fleet.fleet),
      quality: () => quality.read(),
      onScraped: () => this.#scraped.resolve(),
      version: packageVersion(),
    })
    const at = { ...this.#endpoint, descriptor: this.#inherited?.descriptor }
    this.#server = new AdminServer(at, pages, log, tokenVerbs)
    this.#server.onRequest = () => this.#flood.noteRequest()
    this.#endpoint = await this.#server.start()
  }

  async stop(): Promise<void> {
    this.#parts.overview.stream.close()
    this.#parts.clients.traffic.close()
    await this.#server?.close()
    this.#flood.stop()
  }
}
