// What an operator sees of a relay, composed: log, metrics, health and the admin port, fed by the threads. Also
// keeps STUN and DERP one: while the relay can't serve, STUN is silent, so that clients go elsewhere.

import { X509Certificate } from 'node:crypto'
import type { AdmissionService } from '#admission/admission-service.ts'
import { askStun } from '#client/stun-request.ts'
import type { Endpoint, Settings } from '#config/settings.ts'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { certificateHealth } from '#ops/certificate-health.ts'
import { DescriptorWatch } from '#ops/descriptor-watch.ts'
import { Health, type HealthCheck } from '#ops/health.ts'
import type { DirectoryWatch } from '#ops/directory-watch.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { Metrics, type CertificateLife, type MetricSources, type RelayInfo } from '#ops/metrics.ts'
import { ProcessMetrics } from '#ops/process-metrics.ts'
import type { Reloads } from '#ops/reloads.ts'
import { StunWatch } from '#ops/stun-watch.ts'
import { ThreadWatch } from '#ops/thread-watch.ts'
import { Varz } from '#ops/varz.ts'
import { clientDescriptorsEnd, descriptorsMax, lowestFreeDescriptor } from '#transport/descriptors.ts'
import type { StunService } from './stun-service.ts'
import type { RelayThreads } from './relay-threads.ts'

/** How often the checks are looked at, and a failing one silences STUN. */
const LOOK_MS = 1_000
/** STUN asks itself in every so many looks; an answer may take as long. */
const STUN_ASKED_EVERY_LOOKS = 5
const STUN_TIMEOUT_MS = 3_000

/** A limit of 1,024, as shells have it, is worth a word; a relay that serves a team is not. */
const FEW_CLIENTS = 1_000
const HOW_TO_RAISE =
  'raise the hard limit of open files: LimitNOFILE= in a systemd unit, --ulimit nofile= of docker, ulimit -n in a shell'

/** One per process: the watchers that it starts are never stopped. */
let processMetrics: ProcessMetrics | undefined

export interface OperationsParts {
  readonly settings: Settings
  readonly version: string
  readonly log: Log
  readonly threads: RelayThreads
  readonly links: LinkWatch
  readonly directory: DirectoryWatch
  readonly reloads: Reloads
  readonly stun: { readonly thread: StunService; readonly endpoint: Endpoint } | undefined
  /** Undefined where anybody may use the relay. */
  readonly admission: AdmissionService | undefined
  /** The certificate being served, PEM. */
  readonly certificatePem: string | undefined
  /** Undefined without a mesh. */
  readonly place: () => { readonly regions: readonly number[]; readonly nodes: readonly string[] } | undefined
}

export class Operations {
  readonly #parts: OperationsParts
  readonly #threadWatch: ThreadWatch
  readonly #descriptorWatch: DescriptorWatch
  readonly #stunWatch: StunWatch | undefined
  /** What makes the relay able to serve; STUN follows it. */
  readonly #serving: Health
  /** The same and STUN: whether clients may be sent here. */
  readonly #health: Health
  #timer: NodeJS.Timeout | undefined = undefined
  #lookCount = 0
  #wasReady: boolean | undefined = undefined

  constructor(parts: OperationsParts) {
    this.#parts = parts
    const { threads } = parts
    this.#threadWatch = new ThreadWatch({
      threads,
      lookMs: LOOK_MS,
      onHang: (thread, seconds) => threads.replace(thread, seconds),
    })
    this.#stunWatch = parts.stun === undefined ? undefined : new StunWatch(stunAsker(parts.stun.endpoint))
    this.#descriptorWatch = makeDescriptorWatch(parts)
    const serving: HealthCheck[] = [this.#threadWatch, this.#descriptorWatch]
    if (parts.certificatePem !== undefined) {
      serving.push(certificateHealth(() => this.#certificate(), Date.now))
    }
    if (parts.admission !== undefined) serving.push(parts.admission)
    this.#serving = new Health(serving)
    const others: HealthCheck[] = [parts.links, parts.directory, this.#stunWatch].filter(
      (check) => check !== undefined,
    )
    this.#health = new Health([...serving, ...others])
  }

  /** Looks once, so that the first probe finds an answer, and then goes on looking. */
  async start(): Promise<void> {
    this.#threadWatch.look()
    this.#descriptorWatch.look()
    await this.#stunWatch?.look()
    this.#judge()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  /** A thread has died, or serves again. */
  threadsChanged(): void {
    if (this.#timer !== undefined) this.#judge()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  adminServer(endpoint: Endpoint): AdminServer {
    const sources = this.#sources()
    const pages = new AdminPages({
      metrics: new Metrics(sources),
      varz: new Varz(sources),
      health: this.#health,
      version: this.#parts.version,
    })
    return new AdminServer(endpoint, pages, this.#parts.log)
  }

  #sources(): MetricSources {
    const { admission, links, directory, reloads, log, settings, threads, stun, version } = this.#parts
    processMetrics ??= new ProcessMetrics()
    return {
      threads: threads.counters,
      threadLoops: () => threads.readLoopTimes(),
      threadDeaths: () => threads.deaths,
      admission: () => admission?.numbers,
      siblings: () => links.siblings(),
      mesh: () => [...directory.families(), ...reloads.families()],
      stun: () => stun?.thread.read(),
      stunDeaths: () => stun?.thread.deaths,
      certificate: () => this.#certificate(),
      state: () => this.#health.report(),
      logLinesLost: () => log.linesLost,
      build: { version, nodeVersion: process.version },
      relay: () => this.#relayInfo(),
      limits: settings.limits,
      process: processMetrics,
    }
  }

  #relayInfo(): RelayInfo {
    const { place, settings } = this.#parts
    const { region, node } = settings.mesh
    const { regions, nodes } = place() ?? {
      regions: region === undefined ? [] : [region],
      nodes: node === undefined ? [] : [node],
    }
    return { hostname: settings.hostname, regions, nodes }
  }

  #certificate(): CertificateLife | undefined {
    const { certificatePem, settings } = this.#parts
    if (certificatePem === undefined) return undefined
    const { validFromDate, validToDate } = new X509Certificate(certificatePem)
    return {
      hostname: settings.hostname,
      notBeforeMs: validFromDate.getTime(),
      notAfterMs: validToDate.getTime(),
    }
  }

  #look(): void {
    this.#threadWatch.look()
    this.#descriptorWatch.look()
    this.#parts.stun?.thread.look()
    // Of a thread that has died only what was read before is known.
    this.#parts.threads.readLoopTimes()
    if (this.#lookCount++ % STUN_ASKED_EVERY_LOOKS === 0) void this.#stunWatch?.look()
    this.#judge()
  }

  #judge(): void {
    this.#parts.stun?.thread.answer(this.#serving.report().isReady)
    const { isReady, checks } = this.#health.report()
    if (isReady === this.#wasReady) return
    this.#wasReady = isReady
    const failing = checks.filter(({ isOk }) => !isOk).map(({ name, detail }) => `${name}: ${detail}`)
    if (isReady) this.#parts.log.info(LogEvent.relayReady)
    else this.#parts.log.warn(LogEvent.relayNotReady, { failing })
  }
}

/** Says at once when the limit is low, and from then on when there are none left. */
function makeDescriptorWatch({ log, threads }: OperationsParts): DescriptorWatch {
  const max = descriptorsMax()
  const clientsEnd = clientDescriptorsEnd(max)
  const clients = clientsEnd - lowestFreeDescriptor()
  if (clients < FEW_CLIENTS)
    log.warn(LogEvent.descriptorLimitLow, { limit: max, clients, remedy: HOW_TO_RAISE })
  return new DescriptorWatch({
    max,
    clientsEnd,
    lowestFree: lowestFreeDescriptor,
    refused: () =>
      threads.counters.reduce((sum, counters) => sum + counters.get('connectionsOutOfDescriptors'), 0),
    now: () => performance.now(),
    onShort: (limit) => log.warn(LogEvent.descriptorsExhausted, { limit, remedy: HOW_TO_RAISE }),
    onOver: (refused) => log.info(LogEvent.descriptorsAvailable, { refused }),
  })
}

/** Asks where the server listens, or on loopback when that is every address. */
function stunAsker({ host, port }: Endpoint): () => Promise<number> {
  const address = host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host
  return async () => (await askStun(address, port, STUN_TIMEOUT_MS)).roundTripMs
}
