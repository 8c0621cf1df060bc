// The entry of a relay thread: composes one relay with its HTTP server, its part in the mesh and its links to the other
// relay threads, and obeys the control thread. No logic beside the translation of messages.

import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { RemoteAdmission } from '#admission/remote-admission.ts'
import type { Settings } from '#config/settings.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import type { RelayLimits } from '#protocol/relay-limits.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { RemoteAddress } from '#relay/ports.ts'
import type { DrainTimes } from '#relay/relay-drain.ts'
import type { Relay } from '#relay/relay.ts'
import { TurnQueue } from '#relay/turn-queue.ts'
import { collectGarbage } from '#transport/collect-garbage.ts'
import type { StatusPage } from '#transport/http-pages.ts'
import type { HttpServer } from '#transport/http-server.ts'
import { PublishedPages } from '#transport/published-pages.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'
import { remoteText } from '#transport/remote-address.ts'
import { TlsContexts } from '#transport/tls-contexts.ts'
import { now } from './clock.ts'
import { assertHeapHasRoom } from './heap-watch.ts'
import { makeAcceptBudget, makeHttpServer } from './http-setup.ts'
import { admissionFor, makeRelay, threadLimits, threadRoster } from './relay-setup.ts'
import { RemoteRegions } from './remote-regions.ts'
import { RoundTripBatch } from './round-trip-batch.ts'
import { ThreadMesh } from './thread-mesh.ts'
import type {
  FromRelayThread,
  ListenRequest,
  MemoryState,
  RelayThreadData,
  ThreadSettings,
  ToRelayThread,
  WorkerStateMessage,
} from './thread-messages.ts'
import { ThreadNotices } from './thread-notices.ts'
import { takeRelayPriority } from './thread-priority.ts'

/** Eight sweeps cover all sessions, so each session is checked about twice a second. */
const SWEEP_MS = 60
/** Of admission's answers, which may be thousands at once: packets wait no longer than that, or for a quarter of the turn. */
const ANSWERS_MS_PER_TURN = 2
const ANSWERS_SHARE_OF_TURN = 0.25
/** The Unix time at which `now` was 0. */
const WALL_MS = Date.now() - now()
/** Approximately: what is due once a second is due at every such sweep. */
const SWEEPS_PER_SECOND = 16

function answersQueue(): TurnQueue {
  return new TurnQueue({
    perTurnMax: Infinity,
    perTurnMs: ANSWERS_MS_PER_TURN,
    shareOfTurn: ANSWERS_SHARE_OF_TURN,
    now,
    nextTurn: (callback) => void setImmediate(callback),
  })
}

class RelayThread {
  readonly #data: RelayThreadData
  readonly #port: MessagePort
  readonly #counters: Counters
  readonly #relay: Relay
  readonly #threadLinks: ThreadLinks
  readonly #regions: RemoteRegions
  readonly #mesh: ThreadMesh
  readonly #admission: RemoteAdmission
  readonly #notices: ThreadNotices
  readonly #roundTrips = new RoundTripBatch()
  readonly #scheduler: ReadScheduler
  /** Undefined on plain TCP. */
  readonly #tls: TlsContexts | undefined
  readonly #httpServer: HttpServer
  readonly #sweeper: NodeJS.Timeout
  readonly #published = new PublishedPages(now)
  #bootstrapDns = ''
  #publicStatus: StatusPage | undefined = undefined
  #home: Settings['home']
  /** In use. */
  #limits: RelayLimits
  #memory: MemoryState = 'enough'
  #sweepCount = 0
  #sweptMs = now()

  constructor(data: RelayThreadData, port: MessagePort) {
    this.#data = data
    this.#port = port
    this.#home = data.settings.home
    this.#limits = data.settings.limits
    const send = (message: FromRelayThread): void => this.#send(message)
    const counters = new Counters(data.counters)
    this.#counters = counters
    this.#notices = new ThreadNotices(send)
    this.#admission = new RemoteAdmission({
      ask: (question) => send({ kind: 'askAdmission', ...question }),
      cancel: (id) => send({ kind: 'cancelAdmission', id }),
      answers: answersQueue(),
    })
    this.#regions = new RemoteRegions({
      isServed: data.settings.measure.isRankingServed,
      ask: (question) => send({ kind: 'askRegions', ...question }),
      now,
    })
    this.#mesh = new ThreadMesh({ data, instance: data.instance, counters, relay: () => this.#relay, send })
    this.#threadLinks = new ThreadLinks(data.threads, now)
    this.#relay = makeRelay({
      data,
      instance: data.instance,
      counters,
      admission: this.#admission,
      observer: {
        sessionStarted: (event) => this.#notices.sessionStarted(event),
        sessionEnded: (event) => this.#notices.sessionEnded(event),
        roundTripRead: (client, seconds) =>
          this.#roundTrips.add(client.remote.ip, seconds, this.#mesh.homeOf(client)),
        homeChanged: (key, isHome) => {
          this.#mesh.homeChanged(key, isHome)
          this.#notices.homeChanged(key, isHome)
        },
        addressBanned: (ip, reason, forMs) => this.#notices.addressBanned({ ip, reason, forMs }),
        relayState: (key, state) =>
          send({ kind: 'relayState', key: new Uint8Array(key), state: new Uint8Array(state) }),
      },
      routes: this.#mesh.routes,
      threads: this.#threadLinks,
    })
    const busyMs = (): number => performance.eventLoopUtilization().active
    this.#scheduler = new ReadScheduler(now, busyMs, this.#relay.flushQueue)
    const { isTls, tlsMaxVersion } = data.settings
    this.#tls = isTls ? new TlsContexts(tlsMaxVersion) : undefined
    this.#httpServer = makeHttpServer({
      data,
      tls: this.#tls,
      counters,
      relay: this.#relay,
      isMemoryShort: () => this.#memory !== 'enough',
      scheduler: this.#scheduler,
      bootstrapDns: () => this.#bootstrapDns,
      publicStatus: () => this.#publicStatus,
      regions: this.#regions,
      published: this.#published,
      home: () => this.#home,
      ways: {
        onWay: (way) => send({ kind: 'way', way }),
        onOpensslFailed: (error) => send({ kind: 'opensslFailed', text: String(error) }),
        onSelfTestFailed: (error) => send({ kind: 'handleSelfTestFailed', text: String(error) }),
      },
    })
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
    port.on('message', (message: ToRelayThread) => this.#onMessage(message))
    void this.#threadLinks.readWhenWoken()
    process.on('uncaughtException', (error) => this.#onFault(error))
    // Node's own listener would print warnings between the lines of the log, in another format.
    process.removeAllListeners('warning').on('warning', (warning) => this.#notices.runtimeWarning(warning))
  }

  #onMessage(message: ToRelayThread): void {
    switch (message.kind) {
      case 'listen':
        return void this.#listen(message.request)
      case 'admissionAnswer':
        return this.#admission.answered(message.id, message.answer)
      case 'regionsAnswer':
        return this.#regions.answered(message.id, message.json)
      case 'bootstrapDns':
        this.#bootstrapDns = message.json
        return
      case 'publicStatus':
        this.#publicStatus = message.page
        return
      case 'publishedPages':
        return this.#published.use(message.pages)
      case 'certificates':
        return this.#tls?.use(message.set)
      case 'liveSettings':
        return this.#useSettings(message.settings)
      case 'endUnacknowledged':
        return this.#endUnacknowledged(message.remotes)
      case 'meshKeys':
        this.#mesh.setMeshKeys(message.keys)
        return this.#relay.setMeshKeys(message.keys)
      case 'keyLocation':
        return this.#mesh.located(message)
      case 'siblings':
        return this.#mesh.setSiblings(message.edition, message.siblings)
      case 'wakeSiblings':
        return this.#mesh.wake(message.names)
      case 'tellState':
        return this.#mesh.tellState(message.to, message.state)
      case 'answerSibling':
        return this.#relay.answerSibling(message.key, message.state)
      case 'recheckAdmission':
        return this.#relay.recheckAdmission()
      case 'tenants':
        return this.#relay.setTenants(threadRoster(message, this.#data))
      case 'endKey':
        return this.#relay.endKey(message.key, EndReason.kicked)
      case 'discoOnly':
        return this.#relay.setDiscoOnly(message.areAll, new Set(message.tenants))
      case 'memoryState':
        return this.#useMemoryState(message.state)
      case 'banAddress':
        return this.#relay.addresses.ban(message.ip, message.forMs)
      case 'tellClients':
        return this.#tellClients(message.id, message.before)
      case 'threadStarted':
        this.#threadLinks.link(message.link)
        return this.#threadLinks.startSync(message.link.thread)
      case 'threadEnded':
        return this.#threadLinks.threadEnded(message.thread)
      case 'otherRunDrains':
        return this.#relay.otherRunDrains(message.forMs)
      case 'drain':
        return this.#drain(message.times)
      case 'mark':
        return this.#send({ kind: 'marked', mark: message.mark })
      case 'collectGarbage':
        return collectGarbage()
      case 'stop':
        return void this.#stop()
    }
  }

  #useSettings({ limits, home, disallowedAppNames, rebalancePerSecond, admission }: ThreadSettings): void {
    this.#home = home
    this.#relay.setLimits(threadLimits(limits, this.#data.settings.threadCount, this.#memory))
    this.#relay.setLoginPolicy(admissionFor(admission, this.#admission), disallowedAppNames)
    this.#relay.setKicksFrom(admission.kicksFrom)
    this.#mesh.setRebalancing(rebalancePerSecond)
    const { acceptsPerSecond, acceptBurst, tcpUserTimeoutMs } = this.#limits
    this.#limits = limits
    if (tcpUserTimeoutMs !== limits.tcpUserTimeoutMs) this.#httpServer.setUserTimeout(limits.tcpUserTimeoutMs)
    if (acceptsPerSecond === limits.acceptsPerSecond && acceptBurst === limits.acceptBurst) return
    this.#httpServer.setAccepts(makeAcceptBudget(this.#data.accepts, limits)?.refilled())
  }

  #useMemoryState(state: MemoryState): void {
    this.#memory = state
    this.#relay.setLimits(threadLimits(this.#limits, this.#data.settings.threadCount, state))
  }

  async #listen(request: ListenRequest): Promise<void> {
    try {
      // Other threads may have clients already; those must be known here before the first client is.
      await this.#threadLinks.synced()
      const address = await this.#httpServer.listen(request, request.isShared)
      this.#send({ kind: 'listening', port: address.port })
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      this.#send({ kind: 'listenFailed', code, message })
    }
  }

  #tellClients(id: number, before: number): void {
    this.#send({ kind: 'clients', id, part: this.#relay.clientsBefore(before, WALL_MS) })
  }

  #drain(times: DrainTimes): void {
    this.#httpServer.stopListening()
    this.#relay.drain(times, () => this.#send({ kind: 'drained' }))
  }

  async #stop(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#mesh.close()
    this.#relay.endWhere(() => true, EndReason.shutdown)
    await this.#httpServer.close()
    this.#send({ kind: 'stopped' })
    this.#port.close()
  }

  #endUnacknowledged(remotes: readonly RemoteAddress[]): void {
    const silent = new Set(remotes.map(remoteText))
    this.#relay.endInTurns((session) => silent.has(remoteText(session.remote)), EndReason.unacknowledged)
  }

  #sweep(): void {
    const nowMs = now()
    this.#counters.observe('loopLag', Math.max(0, nowMs - this.#sweptMs - SWEEP_MS) / 1_000)
    this.#sweptMs = nowMs
    const isSecond = this.#sweepCount++ % SWEEPS_PER_SECOND === 0
    this.#scheduler.sweep(1 + this.#threadLinks.count)
    this.#relay.sweep()
    this.#httpServer.sweep()
    this.#mesh.sweep(isSecond)
    if (!isSecond) return
    assertHeapHasRoom()
    const roundTrips = this.#roundTrips.take()
    if (roundTrips !== undefined) this.#send({ kind: 'roundTrips', roundTrips })
  }

  /** An uncaught exception is a fault of the program: this thread ends and another one is started in its place. */
  #onFault(error: Error): void {
    this.#send({ kind: 'fault', text: error.stack ?? error.message })
    process.exit(1)
  }

  #send(message: FromRelayThread | WorkerStateMessage): void {
    this.#port.postMessage(message)
  }
}

if (parentPort === null) throw new Error('relay-thread.ts is the entry of a worker thread')
const data = workerData as RelayThreadData
takeRelayPriority(data.niceness)
void new RelayThread(data, parentPort)
