// The entry of a relay thread: composes one relay with its HTTP server, its pages and its ways to the
// other threads, and obeys the control thread. Construction and translation of messages, no logic.

import { createHash, randomBytes } from 'node:crypto'
import type { TlsOptions } from 'node:tls'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { BoxSecret } from '#protocol/box.ts'
import { readU32 } from '#protocol/bytes.ts'
import { shortKey } from '#protocol/node-key.ts'
import { OPEN_ADMISSION, RemoteAdmission } from '#admission/remote-admission.ts'
import type { HomeChange } from '#mesh/directory-client.ts'
import { KeyLookup } from '#mesh/key-lookup.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { Siblings } from '#mesh/siblings.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { SessionEnd, SessionStart } from '#relay/ports.ts'
import { Relay } from '#relay/relay.ts'
import { TokenBucket } from '#relay/token-bucket.ts'
import { AcceptBudget } from '#transport/accept-budget.ts'
import type { Acceptor, AcceptorHost, AcceptorParts } from '#transport/acceptor.ts'
import { HandleAcceptor } from '#transport/handle-acceptor.ts'
import { HttpServer } from '#transport/http-server.ts'
import { testedHandles } from '#transport/handle-selftest.ts'
import { pageOf } from '#transport/http-pages.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'
import { remoteText } from '#transport/remote-address.ts'
import { SocketAcceptor } from '#transport/socket-acceptor.ts'
import { tlsIdentity } from '#transport/tls-identity.ts'
import { UpgradeHandler } from '#transport/upgrade-handler.ts'
import { assertHeapHasRoom } from './heap-watch.ts'
import { siblingDialler } from './sibling-dial.ts'
import type {
  FromRelayThread,
  ListenRequest,
  RelayThreadData,
  ToRelayThread,
  WorkerStateMessage,
} from './thread-messages.ts'

/** Eight of these make a whole sweep, so every session is looked at about twice a second. */
const SWEEP_MS = 60
/** About: what is done once a second is done then. */
const SWEEPS_PER_SECOND = 16
/** Logins and ends of sessions that the control thread hears of; a storm of them must not become one of messages. */
const NOTICES_PER_SECOND = 100

/** How long a connection waits for its next HTTP request; derper's. */
const IDLE_TIMEOUT_MS = 30_000
/** On a plain port a proxy keeps connections for later, and must be first to end them: nginx after 60 s, Go after 90. */
const PROXY_IDLE_TIMEOUT_MS = 120_000

/** Keys that one sibling may have: ten times what one relay has been measured with. */
const SIBLING_KEYS_MAX = 100_000
/** Of what tells one run of a relay from another: sixteen bytes, so that no two are alike. */
const INSTANCE_DIGITS = 32
/** What waits for one sibling: a tenth of a second at a gigabit. */
const SIBLING_OUTBOX_BYTES = 16_777_216

class RelayThread {
  readonly #port: MessagePort
  readonly #relay: Relay
  readonly #siblings: Siblings | undefined
  #meshKeys: readonly Uint8Array[]
  /** Tells siblings this run of the relay from any other. */
  readonly #instance: string
  readonly #httpServer: HttpServer
  readonly #admission: RemoteAdmission
  readonly #notices = new TokenBucket(NOTICES_PER_SECOND, NOTICES_PER_SECOND, performance.now())
  readonly #startNotices = new TokenBucket(NOTICES_PER_SECOND, NOTICES_PER_SECOND, performance.now())
  readonly #sweeper: NodeJS.Timeout
  readonly #scheduler: ReadScheduler
  #bootstrapDns = ''
  #sweepCount = 0
  #sweptMs = performance.now()
  readonly #counters: Counters
  #areLinksChanged = false
  /** Of the members; zero before any were told. */
  #edition = 0
  #homeNotes: HomeChange[] = []
  #keyLookup: KeyLookup | undefined = undefined
  /** Each thread moves its share; one that has less than one a second moves one every so many. */
  readonly #rebalancePerSecond: number
  #rebalanceCredit = 0

  constructor(data: RelayThreadData, port: MessagePort) {
    this.#port = port
    const { settings } = data
    this.#meshKeys = settings.meshKeys
    this.#instance = instanceOf(data.metaSeed)
    this.#rebalancePerSecond = settings.mesh.rebalancePerSecond / settings.threadCount
    const counters = new Counters(data.counters)
    this.#counters = counters
    const now = (): number => performance.now()
    this.#admission = new RemoteAdmission({
      ask: (question) => this.#tell({ kind: 'askAdmission', ...question }),
      cancel: (id) => this.#tell({ kind: 'cancelAdmission', id }),
    })
    const routeTable = new RouteTable(readU32(randomBytes(4), 0), (bytes, at, route) =>
      this.#relay.routeChanged(bytes, at, route),
    )
    this.#relay = this.#makeRelay(data, { counters, now, routeTable })
    this.#siblings = this.#makeSiblings(data, routeTable, now)
    if (settings.mesh.nats !== undefined) {
      this.#keyLookup = routeTable.lookup = new KeyLookup({
        locate: (key) => this.#tell({ kind: 'lookUpKey', key }),
        sibling: (name) => this.#siblings?.byName(name),
        routeTable,
        counters,
      })
    }
    const busyMs = (): number => performance.eventLoopUtilization().active
    this.#scheduler = new ReadScheduler(now, busyMs, this.#relay)
    const upgrades = new UpgradeHandler({
      counters,
      now,
      openSession: (link, wish) => this.#relay.accept({ link, ...wish }),
    })
    const { isDerpEnabled, home } = settings
    const pages = { home, isDerpEnabled, bootstrapDns: () => this.#bootstrapDns }
    this.#httpServer = new HttpServer({
      counters,
      upgrades: isDerpEnabled ? upgrades : undefined,
      accepts: makeAcceptBudget(data),
      idleTimeoutMs: data.pem === undefined ? PROXY_IDLE_TIMEOUT_MS : IDLE_TIMEOUT_MS,
      now,
      pageOf: (head) => pageOf(head, pages),
      acceptor: async (host) => await this.#makeAcceptor(data, host, counters),
    })
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
    port.on('message', (message: ToRelayThread) => this.#onMessage(message))
    if (data.threads !== undefined) void this.#hearAlways()
    process.on('uncaughtException', (error) => this.#onFault(error))
    // Node's own listener would print it in a form of its own between the lines of the log.
    process.removeAllListeners('warning').on('warning', ({ name, message }) => {
      if (this.#notices.tryTake(1, performance.now()))
        this.#tell({ kind: 'runtimeWarning', name, text: message })
    })
  }

  /** Undefined without a mesh key. */
  #makeSiblings(
    { settings, siblingAuthorities }: RelayThreadData,
    routeTable: RouteTable,
    now: () => number,
  ) {
    const { nodeKey, meshKeys, hostname } = settings
    if (meshKeys.length === 0) return undefined
    const secret = new BoxSecret(nodeKey.privateKey)
    return new Siblings({
      identity: { name: hostname, instance: this.#instance, publicKey: nodeKey.publicKey, secret },
      meshKey: () => this.#meshKeys[0],
      dial: siblingDialler({ ca: siblingAuthorities, isPlain: false }),
      routeTable,
      makeOutbox: () =>
        this.#relay.siblingOutbox({ outboxBytesMax: SIBLING_OUTBOX_BYTES, outboxPacketsMax: Infinity }),
      keysMax: SIBLING_KEYS_MAX,
      now,
      random: (bytes) => randomBytes(bytes),
      later: (delayMs, callback) =>
        void (delayMs === 0 ? setImmediate(callback) : setTimeout(callback, delayMs)),
      flushSoon: (one) => this.#relay.flushAfterRound(one),
      onChange: () => (this.#areLinksChanged = true),
    })
  }

  #makeRelay(
    data: RelayThreadData,
    { counters, now, routeTable }: { counters: Counters; now: () => number; routeTable: RouteTable },
  ): Relay {
    const { settings } = data
    const hasDirectory = settings.mesh.nats !== undefined
    const flush = (): void => this.#relay.flush()
    return new Relay({
      nodeKey: settings.nodeKey,
      meshKeys: this.#meshKeys,
      disallowedAppNames: settings.disallowedAppNames,
      instance: this.#instance,
      limits: {
        ...settings.limits,
        waitingBytesMax: settings.limits.waitingBytesMax / settings.threadCount,
      },
      counters,
      admission: settings.admission.isOpen ? OPEN_ADMISSION : this.#admission,
      observer: {
        sessionStarted: (event) => this.#onSessionStart(event),
        sessionEnded: (event) => this.#onSessionEnd(event),
        homeChanged: (key, isHome) => {
          if (hasDirectory) this.#homeNotes.push({ key, isHome })
          this.#onHomeChange(key, isHome)
        },
      },
      routes: routeTable,
      now,
      random: (bytes) => randomBytes(bytes),
      later: (delayMs, callback) =>
        void (delayMs === 0 ? setImmediate(callback) : setTimeout(callback, delayMs)),
      flushLater: () => void setImmediate(flush),
      threads: data.threads,
    })
  }

  /** Over the runtime's handles, or, where these fail their trial, over its sockets. */
  async #makeAcceptor(data: RelayThreadData, host: AcceptorHost, counters: Counters): Promise<Acceptor> {
    const identity = makeIdentity(data)
    const parts: AcceptorParts & { scheduler: ReadScheduler } = {
      host,
      identity,
      counters,
      scheduler: this.#scheduler,
      keepAliveMs: data.settings.limits.tcpKeepaliveMs,
      threadCount: data.settings.threadCount,
      now: () => performance.now(),
    }
    try {
      return new HandleAcceptor({ ...parts, handles: await testedHandles(identity) })
    } catch (error) {
      this.#tell({ kind: 'handleSelfTestFailed', text: String(error) })
      return new SocketAcceptor(parts)
    }
  }

  #onMessage(message: ToRelayThread): void {
    switch (message.kind) {
      case 'listen':
        return void this.#listen(message.request)
      case 'admissionAnswer':
        return this.#admission.answered(message.id, message.answer)
      case 'bootstrapDns':
        this.#bootstrapDns = message.json
        return
      case 'endUnacknowledged': {
        const gone = new Set(message.remotes.map(remoteText))
        this.#relay.endWhere((session) => gone.has(remoteText(session.remote)), EndReason.unacknowledged)
        return
      }
      case 'meshKeys':
        this.#meshKeys = message.keys
        return this.#relay.setMeshKeys(message.keys)
      case 'keyLocation':
        return this.#keyLookup?.located(message.key, message.location, performance.now())
      case 'siblings':
        this.#edition = message.edition
        this.#areLinksChanged = true
        return this.#siblings?.setSiblings(message.siblings)
      case 'threadStarted':
        return this.#relay.threadStarted(message.link)
      case 'threadEnded':
        return this.#relay.threadEnded(message.thread)
      case 'stop':
        return void this.#stop()
    }
  }

  async #listen(request: ListenRequest): Promise<void> {
    try {
      // Clients may be on other threads already; whoever comes here must find them.
      await this.#relay.threadLinks.allTold()
      const address = await this.#httpServer.listen(request, request.isShared)
      this.#tell({ kind: 'listening', port: address.port })
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      this.#tell({ kind: 'listenFailed', code, message })
    }
  }

  async #stop(): Promise<void> {
    clearInterval(this.#sweeper)
    this.#siblings?.close()
    this.#relay.endWhere(() => true, EndReason.shutdown)
    await this.#httpServer.close()
    this.#tell({ kind: 'stopped' })
    this.#port.close()
  }

  /** Sleeps until another thread rings, for as long as this thread lives. */
  async #hearAlways(): Promise<void> {
    const { wakeup } = this.#relay.threadLinks
    for (;;) {
      const count = wakeup.count()
      this.#relay.hear()
      await wakeup.wait(count)
    }
  }

  #sweep(): void {
    const nowMs = performance.now()
    this.#counters.observe('loopLag', Math.max(0, nowMs - this.#sweptMs - SWEEP_MS) / 1_000)
    this.#sweptMs = nowMs
    this.#scheduler.sweep(1 + this.#relay.threadLinks.count)
    this.#relay.sweep()
    this.#httpServer.sweep()
    this.#sweepSiblings()
    if (this.#sweepCount++ % SWEEPS_PER_SECOND === 0) assertHeapHasRoom()
  }

  #sweepSiblings(): void {
    if (this.#siblings === undefined) return
    this.#siblings.sweep(performance.now())
    this.#keyLookup?.sweep(performance.now())
    if (this.#homeNotes.length > 0) this.#tell({ kind: 'announceHomes', changes: this.#homeNotes.splice(0) })
    const isSecond = this.#sweepCount % SWEEPS_PER_SECOND === 0
    if (isSecond && this.#rebalancePerSecond > 0) {
      this.#rebalanceCredit = (this.#rebalanceCredit % 1) + this.#rebalancePerSecond
      const count = Math.floor(this.#rebalanceCredit)
      if (count > 0) this.#relay.rebalance(this.#siblings.settledNodes(performance.now()), count)
    }
    if (!this.#areLinksChanged && !isSecond) return
    this.#areLinksChanged = false
    this.#tell({ kind: 'linkReports', edition: this.#edition, links: this.#siblings.reports() })
  }

  #onSessionStart({ key, remote, way, kind, appName }: SessionStart): void {
    if (!this.#startNotices.tryTake(1, performance.now())) return
    const app = appName === '' ? undefined : appName
    const notice = { key: shortKey(key), remote: remoteText(remote), way, kind, app }
    this.#tell({ kind: 'sessionStarted', notice })
  }

  #onHomeChange(key: Uint8Array, home: boolean): void {
    if (!this.#startNotices.tryTake(1, performance.now())) return
    this.#tell({ kind: 'homeChanged', notice: { key: shortKey(key), home } })
  }

  #onSessionEnd(event: SessionEnd): void {
    // Metrics count every end; the log needs no more than it can tell.
    if (!this.#notices.tryTake(1, performance.now())) return
    const key = event.key === undefined ? undefined : shortKey(event.key)
    this.#tell({ kind: 'sessionEnded', notice: { ...event, remote: remoteText(event.remote), key } })
  }

  /** A fault of ours ends this thread; another is started in its place. */
  #onFault(error: Error): void {
    this.#tell({ kind: 'fault', text: error.stack ?? error.message })
    process.exit(1)
  }

  #tell(message: FromRelayThread | WorkerStateMessage): void {
    this.#port.postMessage(message)
  }
}

/** Drawn anew with each start, and the same for all threads. */
function instanceOf(seed: Uint8Array): string {
  return createHash('sha256').update('instance').update(seed).digest('hex').slice(0, INSTANCE_DIGITS)
}

function makeAcceptBudget({ accepts, settings }: RelayThreadData): AcceptBudget | undefined {
  const { acceptsPerSecond, acceptBurst } = settings.limits
  return Number.isFinite(acceptsPerSecond) && Number.isFinite(acceptBurst)
    ? new AcceptBudget(accepts, acceptsPerSecond, acceptBurst)
    : undefined
}

function makeIdentity(data: RelayThreadData): TlsOptions | undefined {
  if (data.pem === undefined) return undefined
  return tlsIdentity({
    pem: data.pem,
    publicKey: data.settings.nodeKey.publicKey,
    seed: data.metaSeed,
    maxVersion: data.settings.tlsMaxVersion,
    nowMs: data.startedMs,
  })
}

if (parentPort === null) throw new Error('relay-thread.ts is the entry of a worker thread')
void new RelayThread(workerData as RelayThreadData, parentPort)
