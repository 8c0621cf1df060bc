// The composition root: settings in, a running relay out. Construction and order only; what the parts do is their own
// business. Runs on the control thread.
//
// Constructors start nothing, so the order of construction is free. The order of start is `inOrder` below; parts stop in
// reverse. STUN comes after the relay threads because clients choose regions by it: it must not answer for a relay that
// can't serve. The admin port stops last, so that it shows how the others end. To add a long-lived part, see `service.ts`.

import { HttpChallenges } from '#certificates/http-challenges.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { DirectoryWatch } from '#ops/directory-watch.ts'
import { DrainWatch } from '#ops/drain-watch.ts'
import { LinkWatch } from '#ops/link-watch.ts'
import { LogEvent } from '#ops/log-event.ts'
import { Log } from '#ops/log.ts'
import { Reloads } from '#ops/reloads.ts'
import type { Native } from '#transport/native.ts'
import { AdminService } from './admin-service.ts'
import { makeAdmissionService } from './admission-setup.ts'
import { BootstrapDns } from './bootstrap-dns.ts'
import { challengesAnswered, makeCertificates } from './certificate-setup.ts'
import type { Certificates } from './certificates.ts'
import { DerpListener } from './derp-listener.ts'
import { DrainService } from './drain-service.ts'
import { adoptSockets, InheritedDescriptors, type InheritedListeners } from './inherited-listeners.ts'
import { KeyDirectoryService } from './key-directory-service.ts'
import { MeshService } from './mesh-service.ts'
import type { MetricParts } from './metric-sources.ts'
import { nativeWays, openNative } from './native-setup.ts'
import { assertPortsFree } from './port-check.ts'
import { Readiness } from './readiness.ts'
import { RedirectService } from './redirect-service.ts'
import { withHosts, type RelayAddresses } from './relay-addresses.ts'
import { RelayThreads } from './relay-threads.ts'
import { RunningRelay } from './running-relay.ts'
import { Services, type Service } from './service.ts'
import { siblingAuthorities } from './sibling-authorities.ts'
import { StunService } from './stun-service.ts'
import { NO_SYSTEMD, type SystemdEnvironment } from './systemd-environment.ts'
import type { SystemdNotifyService } from './systemd-notify-service.ts'
import { makeNotify, reportAdoption } from './systemd-setup.ts'
import { ThreadDispatch } from './thread-dispatch.ts'
import { UnacknowledgedService } from './unacknowledged-service.ts'

interface Surroundings {
  readonly log: Log
  /** Undefined where native calls do not work or are not wanted. */
  readonly native: Native | undefined
  readonly systemd: SystemdEnvironment
  /** The sockets of each listener that the service manager has opened. */
  readonly inherited: InheritedListeners
  readonly onFault: (error: Error) => void
}

/**
 * @param systemd what the service manager wants and hands over
 * @throws Error if the relay can't start; then nothing is left running
 */
export async function startRelay(
  settings: Settings,
  log: Log = Log.open(settings.logLevel, 'json'),
  systemd: SystemdEnvironment = NO_SYSTEMD,
): Promise<RunningRelay> {
  const failure = Promise.withResolvers<Error>()
  const onFault = (error: Error): void => {
    log.error(LogEvent.relayFailed, { error })
    failure.resolve(error)
  }
  try {
    const native = await openNative(settings, log)
    const adopted = adoptSockets(await withHosts(settings), systemd.inherited, native)
    const { settings: complete, listeners: inherited } = adopted
    reportAdoption(adopted, systemd, log)
    await assertPortsFree(complete, inherited)
    const parts = construct(complete, { log, native, systemd, inherited, onFault })
    await parts.services.start((error) => log.error(LogEvent.relayFailed, { error }))
    const { services, certificates, mesh, notify } = parts
    const relay = new RunningRelay({
      settings: complete,
      log,
      addresses: addressesOf(parts),
      failed: failure.promise,
      services,
      certificates,
      mesh,
      notify,
    })
    relay.logStart()
    notify?.look()
    return relay
  } catch (error) {
    log.info(LogEvent.relayStopped)
    log.flush()
    throw error
  }
}

/** All parts as services, and those that the rest of the start asks. */
interface StartedParts {
  readonly services: Services
  readonly certificates: Certificates | undefined
  readonly mesh: MeshService | undefined
  readonly derp: DerpListener
  readonly http: RedirectService | undefined
  readonly stun: StunService | undefined
  readonly admin: AdminService | undefined
  /** Undefined without a service manager that wants to be told. */
  readonly notify: SystemdNotifyService | undefined
}

function addressesOf({ derp, http, stun, admin }: StartedParts): RelayAddresses {
  return { derp: derp.endpoint, http: http?.endpoint, stun: stun?.endpoint, admin: admin?.endpoint }
}

/** Parts that the settings switch off are undefined. */
function construct(settings: Settings, surroundings: Surroundings): StartedParts {
  const { log, native, inherited, onFault } = surroundings
  const { limits, mesh: meshSettings, threadCount } = settings
  const hasMesh = settings.meshKeys.length > 0
  const links = new LinkWatch({ threadCount, hasMesh, now: () => performance.now() })
  const reloads = new Reloads(log, Date.now)
  const admission = makeAdmissionService(settings, log)
  const threads = new RelayThreads({
    settings,
    siblingAuthorities: siblingAuthorities(meshSettings.ca),
    hasNative: native !== undefined,
    inherited: new InheritedDescriptors(inherited.derp, native),
    onMessage: (message, from) => dispatch.onMessage(message, from),
    onDeath: (death) => dispatch.onDeath(death),
    onRestart: (thread) => dispatch.onRestart(thread),
    onFault,
  })
  const challenges = settings.acme && settings.http && new HttpChallenges(settings.acme.folder)
  const certificates = makeCertificates(settings, log, threads, challenges)
  const mesh = hasMesh
    ? new MeshService({
        settings,
        log,
        reloads,
        broadcast: (message) => threads.broadcast(message),
        onSiblings: (edition) => links.expect(edition),
        onRenamed: () => keyDirectory?.renamed(),
      })
    : undefined
  const keyDirectory = mesh && makeKeyDirectory(settings, log, { mesh, threads })
  const derp = new DerpListener(settings.derp, threads)
  const inheritedHttp = inherited.http[0]
  const http =
    settings.http &&
    new RedirectService(settings.http, { derp, native, challenges, inherited: inheritedHttp })
  const stun = settings.stun && makeStun(settings.stun, surroundings)
  const bootstrapDns = new BootstrapDns(settings.bootstrapDnsNames, (json) =>
    threads.broadcast({ kind: 'bootstrapDns', json }),
  )
  const limitMs = limits.tcpUserTimeoutMs
  const unacknowledged =
    limitMs === 0 || native !== undefined ? undefined : new UnacknowledgedService({ limitMs, derp, threads })
  const directory = new DirectoryWatch(() => keyDirectory?.health)
  const watch = new DrainWatch(threads.counters)
  const observed = { log, threads, links, directory, drain: watch, stun, admission, certificates }
  const readiness = new Readiness(observed)
  const admin = makeAdmin(settings, surroundings, { ...observed, readiness, reloads, mesh })
  const notify = makeNotify(surroundings, { readiness, threads, links })
  const drain = new DrainService({ settings, log, watch, threads, readiness, admin: () => admin })
  const dispatch = new ThreadDispatch({ log, links, readiness, admission, certificates, keyDirectory })
  const inOrder: (Service | undefined)[] = [
    notify,
    admission,
    threads,
    certificates,
    keyDirectory,
    derp,
    mesh,
    http,
    certificates && challengesAnswered(certificates),
    stun,
    bootstrapDns,
    unacknowledged,
    readiness,
    admin,
    drain,
  ]
  const present = inOrder.filter((service) => service !== undefined)
  return { services: new Services(present, admin), certificates, mesh, derp, http, stun, admin, notify }
}

function makeAdmin(
  settings: Settings,
  surroundings: Surroundings,
  parts: Omit<MetricParts, 'settings' | 'ways'>,
): AdminService | undefined {
  const ways = nativeWays(settings, surroundings)
  const { admin } = surroundings.inherited
  return settings.admin && new AdminService(settings.admin, admin[0], { ...parts, settings, ways })
}

function makeKeyDirectory(
  { hostname, mesh: { nats, regionsPath } }: Settings,
  log: Log,
  { mesh, threads }: { mesh: MeshService; threads: RelayThreads },
): KeyDirectoryService | undefined {
  if (nats === undefined) return undefined
  return new KeyDirectoryService({
    settings: nats,
    log,
    hostname,
    regionsPath,
    name: () => mesh.name,
    credentials: () => mesh.natsCredentials,
    send: (thread, update) => threads.send(thread, { kind: 'keyLocation', ...update }),
    broadcast: (update) => threads.broadcast({ kind: 'keyLocation', ...update }),
  })
}

function makeStun(endpoint: Endpoint, { log, native, inherited, onFault }: Surroundings): StunService {
  return new StunService({
    endpoint,
    native,
    inherited: inherited.stun,
    onDeath: ({ error, restartInMs }) => log.error(LogEvent.stunDied, { error, restartInMs }),
    onRestart: () => log.info(LogEvent.stunRestarted),
    onWarning: (name, message) => log.warn(LogEvent.runtimeWarning, { name, message }),
    onFault,
  })
}
