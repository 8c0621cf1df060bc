// The composition root: settings in, a running relay out. Construction and order only; what the parts do is their own
// business. Runs on the control thread.
//
// Constructors start nothing, so the order of construction is free. The order of start is `basis`, `listeners`, `others`,
// `operators` below; parts stop in reverse. STUN comes after the relay threads because clients choose regions by it: it must not answer for a relay that
// can't serve. The admin port stops last, so that it shows how the others end. To add a long-lived part, see `service.ts`.

import type { NamedRoster } from '#admission/tenant-roster.ts'
import { HttpChallenges } from '#certificates/http-challenges.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { LaneSettings, Settings } from '#config/settings.ts'
import { DrainWatch } from '#ops/drain-watch.ts'
import { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import { Log } from '#ops/log.ts'
import { continuedFamilies } from '#ops/metrics.ts'
import { Reloads } from '#ops/reloads.ts'
import { VerbDenials } from '#ops/verb-denials.ts'
import type { Native } from '#transport/native.ts'
import type { AdminService } from './admin-service.ts'
import { RelayAdmission } from './admission.ts'
import { settingsApplier } from './apply-settings.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { BootstrapDns } from './bootstrap-dns.ts'
import { ClientsService } from './clients-service.ts'
import { challengesAnswered, makeCertificates } from './certificate-setup.ts'
import { DerpListener } from './derp-listener.ts'
import type { DrainService } from './drain-service.ts'
import { makeFleetParts } from './fleet-parts.ts'
import { adoptSockets, InheritedDescriptors, type InheritedListeners } from './inherited-listeners.ts'
import { continuedSources } from './metric-sources.ts'
import { LaneService } from './lane-service.ts'
import { makeMonths, type MonthParts } from './month-parts.ts'
import { openNative } from './native-setup.ts'
import { MemoryGuard } from './memory-guard.ts'
import { giveMemoryBack, memoryReturn } from './memory-return.ts'
import { makeOperatorParts, type OperatorPartsInput, type SettingsReading } from './operator-parts.ts'
import { assertPortsFree } from './port-check.ts'
import type { QualityService } from './quality-service.ts'
import { RedirectService } from './redirect-service.ts'
import { portsOf, withHosts, type RelayAddresses } from './relay-addresses.ts'
import { RelayThreads } from './relay-threads.ts'
import type { ReloadService } from './reload-service.ts'
import { RunningRelay } from './running-relay.ts'
import { Run } from './run.ts'
import { Services, type Service } from './service.ts'
import { ShownIdentity } from './shown-identity.ts'
import { siblingAuthorities } from './sibling-authorities.ts'
import { claimStateFolder } from './state-folder.ts'
import { StunService } from './stun-service.ts'
import { NO_SYSTEMD, type SystemdEnvironment } from './systemd-environment.ts'
import type { SystemdNotifyService } from './systemd-notify-service.ts'
import { reportAdoption } from './systemd-setup.ts'
import { yieldToRelayThreads } from '#worker/thread-priority.ts'
import { ThreadDispatch } from './thread-dispatch.ts'
import { ThreadWays } from './thread-ways.ts'
import { UnacknowledgedService } from './unacknowledged-service.ts'

interface Surroundings extends Pick<OperatorPartsInput, 'stateFolder' | 'reading'> {
  readonly log: Log
  /** Undefined where native calls do not work or are not wanted. */
  readonly native: Native | undefined
  readonly systemd: SystemdEnvironment
  /** The sockets of each listener that the service manager has opened. */
  readonly inherited: InheritedListeners
  readonly onFault: (error: Error) => void
  readonly run: Run
  readonly threadWays: ThreadWays
}

/** What a relay of the program is given, and one in a test is not. */
export interface StartOptions {
  /** What the service manager wants and hands over. */
  readonly systemd?: SystemdEnvironment
  /** Undefined: no setting can change while the relay runs. */
  readonly reading?: SettingsReading
}

/** @throws Error if the relay can't start; then nothing is left running */
export async function startRelay(
  settings: Settings,
  log: Log = Log.open(settings.logLevel, 'json'),
  { systemd = NO_SYSTEMD, reading }: StartOptions = {},
): Promise<RunningRelay> {
  const failure = Promise.withResolvers<Error>()
  const onFault = (error: Error): void => {
    log.error(LogEvent.relayFailed, { error })
    failure.resolve(error)
  }
  let run: Run | undefined
  // A relay of the program has the process for itself.
  if (reading !== undefined) yieldToRelayThreads()
  try {
    const native = await openNative(settings, log)
    const adopted = adoptSockets(await withHosts(settings), systemd.inherited, native)
    const { settings: complete, listeners: inherited } = adopted
    reportAdoption(adopted, systemd, log)
    const stateFolder = claimedFolder(complete, log)
    run = await beginRun(complete, stateFolder, { log, onFault })
    await assertPortsFree(complete, inherited, run.sharedPorts)
    const parts = construct(complete, {
      log,
      native,
      systemd,
      inherited,
      onFault,
      stateFolder,
      reading,
      run,
      threadWays: new ThreadWays(),
    })
    await parts.services.start((error) => log.error(LogEvent.relayFailed, { error }))
    const { services, reload, notify } = parts
    const relay = new RunningRelay({
      settings: complete,
      log,
      addresses: addressesOf(parts),
      failed: failure.promise,
      drainAsked: parts.drain.asked,
      services,
      reload,
    })
    relay.logStart()
    notify?.look()
    return relay
  } catch (error) {
    await run?.first.stop()
    log.info(LogEvent.relayStopped)
    log.flush()
    throw error
  }
}

/** All parts as services, and those that the rest of the start asks. */
interface StartedParts {
  readonly services: Services
  readonly drain: DrainService
  readonly reload: ReloadService
  readonly derp: DerpListener
  readonly http: RedirectService | undefined
  readonly stun: StunService | undefined
  readonly lane: LaneService | undefined
  readonly admin: AdminService | undefined
  /** Undefined without a service manager that wants to be told. */
  readonly notify: SystemdNotifyService | undefined
}

function addressesOf({
  derp,
  http,
  stun,
  lane,
  admin,
}: Pick<StartedParts, 'derp' | 'http' | 'stun' | 'lane' | 'admin'>): RelayAddresses {
  const optional = { http: http?.endpoint, stun: stun?.endpoint, lane: lane?.endpoint }
  return { derp: derp.endpoint, ...optional, admin: admin?.endpoint }
}

/** In the order of their start; those that the settings switch off are undefined. */
type Parts = readonly (Service | undefined)[]

/** Parts that the settings switch off are undefined. */
function construct(settings: Settings, surroundings: Surroundings): StartedParts {
  const { log, native, inherited, onFault, run, threadWays } = surroundings
  const { limits, mesh: meshSettings, threadCount } = settings
  const hasMesh = settings.meshKeys.length > 0
  const links = new LinkWatch({ threadCount, hasMesh, now: () => performance.now() })
  const reloads = new Reloads(log, Date.now)
  const admission = makeAdmission(settings, { ...surroundings, reloads, later: () => ({ threads, months }) })
  const threads = new RelayThreads({
    settings,
    siblingAuthorities: siblingAuthorities(meshSettings.ca),
    hasNative: native !== undefined,
    inherited: new InheritedDescriptors(inherited.derp, native),
    instance: run.instance,
    onMessage: (message, from) => dispatch.onMessage(message, from),
    onDeath: (death) => dispatch.onDeath(death),
    onRestart: (thread) => dispatch.onRestart(thread),
    onFault,
  })
  const challenges = settings.acme && settings.http && new HttpChallenges(settings.acme.folder)
  const certificates = makeCertificates(settings, { log, threads, challenges, run })
  const drainWatch = new DrainWatch(threads.counters)
  const forFleet = { ...surroundings, threads, links, reloads, certificates, drain: drainWatch }
  const fleetParts = makeFleetParts(settings, { ...forFleet, readiness: () => readiness })
  const { mesh, keyDirectory, quality, fleet } = fleetParts
  const derp = new DerpListener(settings.derp, threads)
  const httpParts = { derp, native, challenges, inherited: inherited.http[0] }
  const http = settings.http && new RedirectService(settings.http, httpParts)
  const stun = settings.stun && makeStun(settings.stun, surroundings, quality)
  const lane = settings.lane && makeLane(settings.lane, { ...forFleet, admission, keyDirectory })
  const bootstrapDns = new BootstrapDns(settings.bootstrapDnsNames, (json) =>
    threads.broadcast({ kind: 'bootstrapDns', json }),
  )
  const limitMs = limits.tcpUserTimeoutMs
  const unacknowledged = native ? undefined : new UnacknowledgedService({ limitMs, derp, threads })
  const shown = new ShownIdentity(settings.shown)
  const months = makeMonths(settings, { ...surroundings, threads })
  const { month, tenantMonths } = months
  const clients = new ClientsService({ threads, isTls: settings.isTls, run, admission, shown })
  const seen = { threads, links, stun, lane, admission, certificates }
  const memoryGuard = makeMemoryGuard(settings, { ...surroundings, threads })
  const watched = { ...fleetParts, ...seen, shown, clients, month, tenantMonths, memoryGuard }
  const apply = settingsApplier({ ...watched, log, bootstrapDns, unacknowledged })
  const observed = { ...watched, settings, reloads, drain: drainWatch, verbDenials: new VerbDenials() }
  const addresses = (): RelayAddresses => addressesOf({ derp, http, stun, lane, admin })
  const continued = continuedSources({ ...surroundings, ...observed })
  const made = makeOperatorParts(settings, { ...surroundings, ...observed, derp, apply, addresses })
  const { readiness, drain, reload, overview, publicStatus, admin, verbs, notify, kicks } = made
  const memory = memoryReturn(native, threads, surroundings.reading !== undefined)
  const dispatch = new ThreadDispatch({ ...watched, kicks, log, readiness, run, threadWays })
  const basis: Parts = [notify, run.first, admission, threads, certificates, run.bridge, keyDirectory]
  const listeners: Parts = [derp, mesh, http, certificates && challengesAnswered(certificates), stun]
  const others: Parts = [bootstrapDns, unacknowledged, memoryGuard, readiness, run.takeOver, lane, fleet]
  const operators: Parts = [month, tenantMonths, overview, publicStatus, admin, drain, reload, verbs]
  const all = [...basis, quality, ...listeners, ...others, ...operators, memory]
  const present = all.filter((service) => service !== undefined)
  const services = new Services(present, admin)
  run.attach({
    threads,
    unready: () => readiness.failing,
    ports: () => portsOf(addressesOf({ derp, http, stun, lane, admin })),
    stun: () => stun && run.counters.withEarlierStun(stun.read()),
    families: () => continuedFamilies(continued),
    release: async () =>
      await services.release([verbs, admin, http, stun, lane].filter((one) => one !== undefined)),
    onHandedOver: () => void drain.ask().catch(() => undefined),
    handOverMs: (clients) => drain.handOverMs(clients),
    onTakingOver: async () => await notify?.takeOver(),
  })
  return { services, drain, reload, derp, http, stun, lane, admin, notify }
}

function makeAdmission(
  settings: Settings,
  {
    log,
    stateFolder,
    reloads,
    later,
  }: Pick<Surroundings, 'log' | 'stateFolder'> & {
    readonly reloads: Reloads
    /** What is made after admission. */
    readonly later: () => { readonly threads: RelayThreads; readonly months: MonthParts }
  },
): RelayAdmission {
  const onChange = (): void => later().threads.broadcast({ kind: 'recheckAdmission' })
  const onTenants = (roster: NamedRoster | undefined): void => later().months.useTenants(roster)
  const onDenied = (key: Uint8Array, forMs: number): void => {
    later().threads.broadcast({ kind: 'endKey', key, forMs })
  }
  return new RelayAdmission({ settings, log, reloads, stateFolder, onChange, onDenied, onTenants })
}

function makeMemoryGuard(
  { limits }: Settings,
  { log, native, threads }: Pick<Surroundings, 'log' | 'native'> & { readonly threads: RelayThreads },
): MemoryGuard {
  return new MemoryGuard({
    bytesMax: limits.memoryBytesMax,
    residentBytes: () => process.memoryUsage.rss(),
    log,
    now: () => performance.now(),
    onState: (state) => threads.broadcast({ kind: 'memoryState', state }),
    giveBack: () => void giveMemoryBack(native, threads),
  })
}

function makeStun(
  endpoint: Endpoint,
  { log, native, inherited, onFault }: Surroundings,
  quality: QualityService,
): StunService {
  return new StunService({
    endpoint,
    native,
    inherited: inherited.stun,
    onDeath: ({ error, restartInMs }) => log.error(LogEvent.stunDied, { error, restartInMs }),
    onRestart: () => log.info(LogEvent.stunRestarted),
    onRequests: (requests) => void quality.stunRequests(requests),
    onWarning: (name, message) => log.warn(LogEvent.runtimeWarning, { name, message }),
    onFault,
  })
}

function makeLane(
  settings: LaneSettings,
  parts: Omit<ConstructorParameters<typeof LaneService>[0], 'settings'>,
): LaneService {
  const { threads, admission, keyDirectory, stateFolder, log, reloads, onFault } = parts
  const own = { settings, threads, admission, keyDirectory, stateFolder }
  return new LaneService({ ...own, log, reloads, onFault })
}

/** Undefined without a state folder that the relay can use. @throws Error if it belongs to another relay */
function claimedFolder({ stateFolder, nodeKey }: Settings, log: Log): string | undefined {
  const claim = stateFolder === undefined ? undefined : claimStateFolder(stateFolder, nodeKey.publicKey)
  if (claim === undefined || !('unusable' in claim)) return claim?.path
  log.warn(LogEvent.stateFolderUnusable, { path: claim.path, reason: claim.unusable })
  return undefined
}

/** @throws Error if another run of this relay is about to take over, or can't be joined */
async function beginRun(
  { nodeKey, threadCount }: Settings,
  folder: string | undefined,
  surroundings: Pick<Surroundings, 'log' | 'onFault'>,
): Promise<Run> {
  return await Run.begin({ folder, key: publicKeyText(nodeKey.publicKey), threadCount, ...surroundings })
}
