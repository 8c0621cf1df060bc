// The composition root: settings in, a relay out. Construction and order; what the parts do is theirs.
//
// Started in this order and stopped in reverse: relay threads, plain port, STUN, admin. STUN comes after the
// relay because clients choose regions by it: it must not answer for a relay that can't serve.

import { readFileSync } from 'node:fs'
import { endpointText } from '#config/listener-settings.ts'
import type { CertificateFiles, Endpoint, Settings } from '#config/settings.ts'
import type { AdmissionService } from '#admission/admission-service.ts'
import { BootstrapDns } from './bootstrap-dns.ts'
import { DirectoryWatch } from '#ops/directory-watch.ts'
import { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import { Log, type LogFields } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import { SiblingLog } from '#ops/sibling-log.ts'
import { SessionEndLog } from '#ops/session-end-log.ts'
import { SessionStartLog } from '#ops/session-start-log.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { wildcardAddress } from '#transport/wildcard-address.ts'
import { assertTcpFree, assertUdpFree } from './port-check.ts'
import { RedirectServer } from '#transport/redirect-server.ts'
import type { CertificatePem } from '#transport/tls-identity.ts'
import { UnacknowledgedWatch } from '#transport/unacknowledged-watch.ts'
import { makeAdmissionService } from './admission-setup.ts'
import { authorities } from './sibling-authorities.ts'
import { listening } from './listen-error.ts'
import { MeshService } from './mesh-service.ts'
import { Operations } from './readiness.ts'
import type { FromRelayThread } from '#worker/thread-messages.ts'
import { ServiceList } from './service.ts'
import { StunService } from './stun-service.ts'
import { RelayThreads, type SpeakingThread, type ThreadDeath } from './relay-threads.ts'
import { packageVersion } from '#ops/version.ts'

/** Where a relay really listens; port 0 in the settings has become a number here. */
export interface RelayAddresses {
  readonly derp: Endpoint
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  readonly admin: Endpoint | undefined
}

/** A relay that serves. */
export interface RunningRelay extends AsyncDisposable {
  readonly addresses: RelayAddresses
  /** Settles when the relay has ended by a fault of its own; never by `stop`. */
  readonly failed: Promise<Error>
  /** Reads anew what can change while it runs, and says in the log what that was. */
  reload(): Promise<void>
  /** Between debug and the log level of the settings. */
  toggleDebug(): void
  /** Ends every part, in the reverse order of the start; rejects when one did not end, after all were tried. */
  stop(): Promise<void>
}

/** How often the kernel is asked who no longer acknowledges; a third of the usual limit. */
const UNACKNOWLEDGED_LOOK_MS = 5_000
/** Logins, and ends of sessions, that get a line in the log each second. */
const SESSION_LINES_PER_SECOND = 10

/** Starts a relay; rejects with one clear error, and nothing left running, when it can't. */
export async function startRelay(
  settings: Settings,
  log: Log = Log.open(settings.logLevel, 'json'),
): Promise<RunningRelay> {
  const stops = new ServiceList()
  const stop = async (): Promise<void> => {
    try {
      await stops.stop()
    } finally {
      log.flush()
    }
  }
  const failure = Promise.withResolvers<Error>()
  const onFault = (error: Error): void => {
    log.error(LogEvent.relayFailed, { error })
    failure.resolve(error)
  }
  try {
    stops.push(() => log.info(LogEvent.relayStopped))
    const { addresses, mesh } = await startParts(await withAddresses(settings), { log, stops, onFault })
    log.info(LogEvent.relayStarted, startFields(settings, addresses))
    stops.push(() => log.info(LogEvent.relayStopping))
    return {
      addresses,
      failed: failure.promise,
      reload: async () => log.info(LogEvent.relayReloaded, { files: (await mesh?.reload()) ?? [] }),
      toggleDebug: () => toggleDebug(log, settings),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop().catch((stopError: unknown) => log.error(LogEvent.relayFailed, { error: stopError }))
    throw error
  }
}

/** Listeners that were given no host take every address that this machine has. */
async function withAddresses(settings: Settings): Promise<Settings> {
  const every = await wildcardAddress()
  const placed = (at: Endpoint): Endpoint => ({ host: at.host === '' ? every : at.host, port: at.port })
  const { derp, http, stun, admin } = settings
  return {
    ...settings,
    derp: placed(derp),
    http: http && placed(http),
    stun: stun && placed(stun),
    admin: admin && placed(admin),
  }
}

/** What the log tells of a relay that serves. */
function startFields(settings: Settings, addresses: RelayAddresses): LogFields {
  const { certificate, hostname, nodeKey, threadCount } = settings
  const listeners = Object.entries<Endpoint | undefined>({ ...addresses }).map(([name, at]) => [
    name,
    at && endpointText(at),
  ])
  return {
    version: packageVersion(),
    key: publicKeyText(nodeKey.publicKey),
    hostname,
    tls: certificate !== undefined,
    ...Object.fromEntries(listeners),
    threads: threadCount,
  }
}

function toggleDebug(log: Log, { logLevel }: Settings): void {
  const level = log.isEnabled('debug') ? logLevel : 'debug'
  // Said while the log takes it.
  if (level === 'debug') log.setLevel(level)
  log.info(LogEvent.logLevelChanged, { level })
  log.setLevel(level)
}

/** What every part is started with. */
interface Surroundings {
  readonly log: Log
  readonly stops: ServiceList
  readonly onFault: (error: Error) => void
}

async function startParts(
  settings: Settings,
  surroundings: Surroundings,
): Promise<{ addresses: RelayAddresses; mesh: MeshService | undefined }> {
  const { log, stops } = surroundings
  await assertPortsFree(settings)
  const pem = settings.certificate === undefined ? undefined : readPem(settings.certificate)
  let operation: Operations | undefined = undefined
  let mesh: MeshService | undefined = undefined
  const links = new LinkWatch({
    threadCount: settings.threadCount,
    hasMesh: settings.meshKeys.length > 0,
    now: () => performance.now(),
  })
  const admissionService = makeAdmissionService(settings, log)
  stops.push(() => admissionService?.close())
  const threads = makeThreads(settings, pem, {
    ...surroundings,
    admissionService,
    links,
    hear: (message, thread) => mesh?.hear(message, thread),
    onDeath: (thread) => mesh?.threadEnded(thread),
    onChange: () => operation?.threadsChanged(),
  })
  stops.push(async () => await threads.stop())
  // Threads have something to say to it as soon as they have clients.
  const reloads = new Reloads(log, Date.now)
  mesh = makeMesh(settings, { threads, links, reloads }, surroundings)
  const derp = await listening('DERP', '-a', settings.derp, async (at) => await threads.listen(at))
  const http = settings.http && (await startRedirectServer(settings.http, derp.port, stops))
  const stun = settings.stun && (await startStun(settings.stun, surroundings))
  mesh?.start()
  startBootstrapDns(settings, threads, stops)
  startUnacknowledgedWatch(settings.limits.tcpUserTimeoutMs, { derp, threads }, stops)
  operation = new Operations({
    settings,
    version: packageVersion(),
    log,
    threads,
    links,
    directory: new DirectoryWatch(() => mesh?.directoryHealth),
    reloads,
    stun,
    admission: admissionService,
    certificatePem: pem?.certificate,
    place: () => mesh?.place,
  })
  stops.push(() => operation.stop())
  await operation.start()
  const admin = settings.admin && (await startAdmin(operation, settings.admin, stops))
  return { addresses: { derp, http, stun: stun?.endpoint, admin }, mesh }
}

/** All ports are tried before anything listens, so that no client is served by a start that will fail. */
async function assertPortsFree({ derp, http, stun, admin }: Settings): Promise<void> {
  const tcp = [
    ['DERP', '-a', derp] as const,
    ['HTTP', '-http-port', http] as const,
    ['admin', '-admin', admin] as const,
  ]
  const tried = (assertFree: (at: Endpoint) => Promise<void>) => async (at: Endpoint) => {
    await assertFree(at)
    return at.port
  }
  for (const [what, flag, endpoint] of tcp) {
    if (endpoint !== undefined) await listening(what, flag, endpoint, tried(assertTcpFree))
  }
  if (stun !== undefined) await listening('STUN', '-stun-port', stun, tried(assertUdpFree))
}

interface ThreadSurroundings extends Surroundings {
  readonly admissionService: AdmissionService | undefined
  readonly links: LinkWatch
  /** What is for the mesh. */
  readonly hear: (message: FromRelayThread, thread: number) => void
  readonly onDeath: (thread: number) => void
  readonly onChange: () => void
}

function makeThreads(
  settings: Settings,
  pem: CertificatePem | undefined,
  { log, links, admissionService, hear, onFault, onChange, ...on }: ThreadSurroundings,
): RelayThreads {
  const sessionLogParts = {
    log,
    linesPerSecond: SESSION_LINES_PER_SECOND,
    later: (delayMs: number, callback: () => void) => void setTimeout(callback, delayMs).unref(),
    now: () => performance.now(),
  }
  const sessionEnds = new SessionEndLog(sessionLogParts)
  const sessionStarts = new SessionStartLog(sessionLogParts)
  const siblingLog = new SiblingLog(log)
  const onMessage = (message: FromRelayThread, from: SpeakingThread): void => {
    if (message.kind === 'sessionEnded') sessionEnds.write(message.notice)
    if (message.kind === 'sessionStarted') sessionStarts.write(message.notice)
    if (message.kind === 'homeChanged') sessionStarts.writeHome(message.notice)
    if (message.kind === 'linkReports') {
      links.note(from.index, message.edition, message.links)
      siblingLog.write(from.index, message.links)
    }
    hear(message, from.index)
    if (message.kind === 'handleSelfTestFailed') {
      log.warn(LogEvent.handleSelfTestFailed, { reason: message.text })
    }
    if (message.kind === 'runtimeWarning') {
      log.warn(LogEvent.runtimeWarning, { name: message.name, message: message.text })
    }
    if (message.kind === 'cancelAdmission') admissionService?.cancel(from.index, message.id)
    if (message.kind !== 'askAdmission') return
    admissionService?.ask(from.index, message, (answer) =>
      from.tell({ kind: 'admissionAnswer', id: message.id, answer }),
    )
  }
  const onDeath = (death: ThreadDeath): void => {
    log.error(LogEvent.threadDied, { ...death })
    links.forget(death.thread)
    admissionService?.forget(death.thread)
    on.onDeath(death.thread)
    onChange()
  }
  const onRestart = (thread: number): void => {
    log.info(LogEvent.threadRestarted, { thread })
    onChange()
  }
  return new RelayThreads({
    settings,
    pem,
    siblingAuthorities: authorities(settings.mesh.ca),
    startedMs: Date.now(),
    onMessage,
    onDeath,
    onRestart,
    onFault,
  })
}

async function startRedirectServer(
  endpoint: Endpoint,
  tlsPort: number,
  stops: ServiceList,
): Promise<Endpoint> {
  const redirectServer = new RedirectServer(tlsPort)
  stops.push(async () => await redirectServer.close())
  return await listening('HTTP', '-http-port', endpoint, async (at) => await redirectServer.listen(at))
}

async function startStun(
  wanted: Endpoint,
  { log, stops, onFault }: Surroundings,
): Promise<{ thread: StunService; endpoint: Endpoint }> {
  const thread = new StunService({
    ...wanted,
    onDeath: ({ error, restartInMs }) => log.error(LogEvent.stunDied, { error, restartInMs }),
    onRestart: () => log.info(LogEvent.stunRestarted),
    onWarning: (name, message) => log.warn(LogEvent.runtimeWarning, { name, message }),
    onFault,
  })
  stops.push(async () => await thread.stop())
  const endpoint = await listening('STUN', '-stun-port', wanted, async () => await thread.listen())
  return { thread, endpoint }
}

async function startAdmin(operation: Operations, endpoint: Endpoint, stops: ServiceList): Promise<Endpoint> {
  const server = operation.adminServer(endpoint)
  const address = await server.start()
  stops.push(async () => await server.close())
  return address
}

function startBootstrapDns(settings: Settings, threads: RelayThreads, stops: ServiceList): void {
  const bootstrapDns = new BootstrapDns(settings.bootstrapDnsNames, (json) =>
    threads.tellAll({ kind: 'bootstrapDns', json }),
  )
  bootstrapDns.start()
  stops.push(() => bootstrapDns.stop())
}

/** Undefined without a mesh key. */
function makeMesh(
  settings: Settings,
  { threads, links, reloads }: { threads: RelayThreads; links: LinkWatch; reloads: Reloads },
  { log, stops }: Surroundings,
): MeshService | undefined {
  if (settings.meshKeys.length === 0) return undefined
  const mesh = new MeshService({
    settings,
    log,
    reloads,
    tell: (message) => threads.tellAll(message),
    tellThread: (thread, message) => threads.tell(thread, message),
    onMembers: (edition) => links.expect(edition),
  })
  stops.push(async () => await mesh.stop())
  return mesh
}

function startUnacknowledgedWatch(
  limitMs: number,
  { derp, threads }: { derp: Endpoint; threads: RelayThreads },
  stops: ServiceList,
): void {
  if (limitMs === 0) return
  const watch = new UnacknowledgedWatch(derp.port, limitMs)
  const timer = setInterval(() => {
    void watch.look(performance.now()).then((remotes) => {
      if (remotes.length > 0) threads.tellAll({ kind: 'endUnacknowledged', remotes })
    })
  }, UNACKNOWLEDGED_LOOK_MS)
  stops.push(() => clearInterval(timer))
}

function readPem(files: CertificateFiles): CertificatePem {
  return {
    certificate: readFileSync(files.certificatePath, 'utf8'),
    key: readFileSync(files.keyPath, 'utf8'),
  }
}
