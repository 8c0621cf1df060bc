// Whether clients may be sent to this relay: looks at every check once a second, writes changes to the log, and keeps STUN
// and DERP one. While the relay can't serve, its STUN is silent, so that clients choose another relay. Runs on the control
// thread.

import { askStun } from '#client/stun-request.ts'
import type { Endpoint } from '#config/endpoint.ts'
import { certificateHealth } from '#ops/certificate-health.ts'
import { DescriptorWatch } from '#ops/descriptor-watch.ts'
import type { DirectoryWatch } from '#ops/directory-watch.ts'
import type { DrainWatch } from '#ops/drain-watch.ts'
import { Health, type HealthCheck } from '#ops/health.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'
import { StunWatch } from '#ops/stun-watch.ts'
import { ThreadWatch } from '#ops/thread-watch.ts'
import { clientDescriptorsEnd, descriptorsMax, lowestFreeDescriptor } from '#transport/descriptors.ts'
import type { Certificates } from './certificates.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'
import type { StunService } from './stun-service.ts'

const LOOK_MS = 1_000
/** STUN is asked at every so many looks, because its answer may take as long. */
const STUN_ASKED_EVERY_LOOKS = 5
const STUN_TIMEOUT_MS = 3_000

/** A limit of 1,024 open files, the usual one of shells, deserves a warning; a relay that serves a team does not. */
const FEW_CLIENTS = 1_000
const HOW_TO_RAISE =
  'raise the hard limit of open files: LimitNOFILE= in a systemd unit, --ulimit nofile= of docker, ulimit -n in a shell'

export interface ReadinessParts {
  readonly log: Log
  readonly threads: Pick<RelayThreads, 'counters' | 'present' | 'serving' | 'replace' | 'readLoopTimes'>
  readonly links: LinkWatch
  readonly directory: DirectoryWatch
  readonly drain: DrainWatch
  /** Undefined if this relay answers no STUN. */
  readonly stun: Pick<StunService, 'endpoint' | 'answer' | 'look'> | undefined
  /** Undefined: nobody is asked. */
  readonly admission: HealthCheck | undefined
  /** Whether there is memory for more clients. Undefined: nobody looks. */
  readonly memoryGuard?: HealthCheck | undefined
  /** Undefined without TLS. */
  readonly certificates: Pick<Certificates, 'status'> | undefined
}

export class Readiness implements Service {
  /** All checks: whether clients may be sent here. */
  readonly health: Health
  readonly #parts: ReadinessParts
  readonly #threadWatch: ThreadWatch
  readonly #descriptorWatch: DescriptorWatch
  readonly #stunWatch: StunWatch | undefined
  /** The checks that the relay needs in order to serve; STUN answers only while they pass. */
  readonly #serving: Health
  #timer: NodeJS.Timeout | undefined = undefined
  #lookCount = 0
  #wasReady: boolean | undefined = undefined

  constructor(parts: ReadinessParts) {
    this.#parts = parts
    const { threads, stun, admission, certificates, links, directory, drain, memoryGuard } = parts
    this.#threadWatch = new ThreadWatch({
      threads,
      lookMs: LOOK_MS,
      onHang: (thread, seconds) => threads.replace(thread, seconds),
    })
    this.#stunWatch = stun && new StunWatch(async () => await stunRoundTripMs(stun.endpoint))
    this.#descriptorWatch = makeDescriptorWatch(parts)
    const serving: HealthCheck[] = [this.#threadWatch, this.#descriptorWatch, drain]
    if (certificates !== undefined) serving.push(certificateHealth(() => certificates.status, Date.now))
    if (admission !== undefined) serving.push(admission)
    if (memoryGuard !== undefined) serving.push(memoryGuard)
    this.#serving = new Health(serving)
    const others: HealthCheck[] = [links, directory, this.#stunWatch].filter((check) => check !== undefined)
    this.health = new Health([...serving, ...others])
  }

  /** Looks once, so that the first probe gets an answer, and then every second. */
  async start(): Promise<void> {
    warnOfFewDescriptors(this.#parts.log)
    this.#threadWatch.look()
    this.#descriptorWatch.look()
    await this.#stunWatch?.look()
    this.#judge()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  /** Whether all relay threads serve and respond. */
  get areThreadsAlive(): boolean {
    return this.#threadWatch.check().isOk
  }

  /** The checks that fail now, and why. */
  get failing(): readonly string[] {
    const { checks } = this.health.report()
    return checks.filter(({ isOk }) => !isOk).map(({ name, detail }) => `${name}: ${detail}`)
  }

  /** A thread has died, or serves again. */
  threadsChanged(): void {
    this.#judgeNow()
  }

  /** From now on this relay is not ready, and its STUN is silent. */
  drainStarted(): void {
    this.#judgeNow()
  }

  #judgeNow(): void {
    if (this.#timer !== undefined) this.#judge()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    this.#threadWatch.look()
    this.#descriptorWatch.look()
    this.#parts.stun?.look()
    // Loop times of a thread that dies are known only up to the last reading.
    this.#parts.threads.readLoopTimes()
    if (this.#lookCount++ % STUN_ASKED_EVERY_LOOKS === 0) void this.#stunWatch?.look()
    this.#judge()
  }

  #judge(): void {
    this.#parts.stun?.answer(this.#serving.report().isReady)
    const { isReady } = this.health.report()
    if (isReady === this.#wasReady) return
    this.#wasReady = isReady
    const { failing } = this
    if (isReady) this.#parts.log.info(LogEvent.relayReady)
    else this.#parts.log.warn(LogEvent.relayNotReady, { failing })
  }
}

function makeDescriptorWatch({ log, threads }: ReadinessParts): DescriptorWatch {
  const max = descriptorsMax()
  return new DescriptorWatch({
    max,
    clientsEnd: clientDescriptorsEnd(max),
    lowestFree: lowestFreeDescriptor,
    refused: () =>
      threads.counters.reduce((sum, counters) => sum + counters.get('connectionsOutOfDescriptors'), 0),
    now: () => performance.now(),
    onExhausted: (limit) => log.warn(LogEvent.descriptorsExhausted, { limit, remedy: HOW_TO_RAISE }),
    onAvailable: (refused) => log.info(LogEvent.descriptorsAvailable, { refused }),
  })
}

/** A low limit is reported at the start, before any client is refused because of it. */
function warnOfFewDescriptors(log: Log): void {
  const limit = descriptorsMax()
  const clients = clientDescriptorsEnd(limit) - lowestFreeDescriptor()
  if (clients < FEW_CLIENTS) log.warn(LogEvent.descriptorLimitLow, { limit, clients, remedy: HOW_TO_RAISE })
}

/** Asks the STUN server where it listens, or on loopback if it listens on all addresses. */
async function stunRoundTripMs({ host, port }: Endpoint): Promise<number> {
  const address = host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host
  return (await askStun(address, port, STUN_TIMEOUT_MS)).roundTripMs
}
