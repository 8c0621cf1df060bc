// Makes the parts of a relay by which operators see and change it: health, drain, reload, pages and commands. Construction
// only. Runs on the control thread.

import type { SettingsInUse, SettingsSource } from '#config/live-settings.ts'
import type { Settings } from '#config/settings.ts'
import { TokenVerbs } from '#ops/token-verbs.ts'
import { VerbCalls } from '#ops/verb-calls.ts'
import type { RelayLimits } from '#relay/ports.ts'
import { AdminService } from './admin-service.ts'
import { allowVerb, deniedVerb, denyVerb, kickVerb } from './admission-verbs.ts'
import type { Certificates } from './certificates.ts'
import { checkupVerb } from './checkup.ts'
import type { ClientsService } from './clients-service.ts'
import { DrainService } from './drain-service.ts'
import { KickService } from './kick-service.ts'
import { laneVerb } from './lane-verb.ts'
import { outsideVerb, type LookService } from './look-service.ts'
import type { FileReload } from './content-file.ts'
import type { MetricParts } from './metric-sources.ts'
import { nativeWays, type NativeUse } from './native-setup.ts'
import {
  clientsVerb,
  drainVerb,
  fleetVerb,
  overviewVerb,
  reloadVerb,
  statusVerb,
  tenantsVerb,
} from './operator-verbs.ts'
import { OverviewService } from './overview-service.ts'
import { ownEntry, type OwnEntryParts } from './own-entry.ts'
import { PublicStatus } from './public-status.ts'
import { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { RegionsService } from './regions-service.ts'
import type { RelayAddresses } from './relay-addresses.ts'
import { ReloadService, type FileOwner, type ReloadParts } from './reload-service.ts'
import type { ShownIdentity } from './shown-identity.ts'
import { startProblems } from './start-check.ts'
import type { SystemdEnvironment } from './systemd-environment.ts'
import type { SystemdNotifyService } from './systemd-notify-service.ts'
import { makeNotify } from './systemd-setup.ts'
import { VerbsService } from './verbs-service.ts'

/** How the settings were read, so that a reload can read them again. */
export type SettingsReading = Pick<SettingsInUse, 'raw'> & Pick<SettingsSource, 'read' | 'host'>

export interface OperatorPartsInput
  extends Omit<MetricParts, 'readiness' | 'limits' | 'ways'>, Pick<ReloadParts, 'apply'>, NativeUse {
  readonly derp: OwnEntryParts['derp']
  readonly systemd: SystemdEnvironment
  /** Undefined without a regions file. */
  readonly regions: RegionsService | undefined
  /** Undefined: no setting can change while the relay runs. */
  readonly reading: SettingsReading | undefined
  /** Where the relay listens, once it does. */
  readonly addresses: () => RelayAddresses
  readonly looks: Pick<LookService, 'ask'>
  readonly clients: ClientsService
  readonly shown: ShownIdentity
}

export interface OperatorParts {
  readonly readiness: Readiness
  readonly drain: DrainService
  readonly reload: ReloadService
  readonly kicks: KickService
  readonly overview: OverviewService
  /** Undefined: the operator shows none. */
  readonly publicStatus: PublicStatus | undefined
  /** Each undefined if the settings switch it off. */
  readonly admin: AdminService | undefined
  readonly verbs: VerbsService | undefined
  /** Undefined without a service manager that wants to be told. */
  readonly notify: SystemdNotifyService | undefined
}

export function makeOperatorParts(settings: Settings, input: OperatorPartsInput): OperatorParts {
  const { log, native, threads, reading, stateFolder: folder } = input
  const readiness = new Readiness(input)
  const notify = makeNotify(input, { ...input, readiness })
  const reload = new ReloadService({
    ...input,
    notify,
    source: reading && withStartCheck(reading),
    fileOwners: fileOwnersOf(input),
  })
  const limits = (): RelayLimits => reload.live.limits
  const ways = nativeWays(settings, input)
  const [adminSocket] = input.inherited.admin
  const calls = new VerbCalls(log)
  const token = (): string | undefined => reload.live.verbsToken
  const tokenVerbs = new TokenVerbs({ calls, token, denials: input.verbDenials, log })
  const overview = new OverviewService({ ...input, readiness, ownEntry: ownEntry(input) })
  const publicStatus = settings.isStatusPublic ? makePublicStatus(overview, threads) : undefined
  const pages = { ...input, readiness, limits, ways, tokenVerbs, overview }
  const admin = settings.admin && new AdminService(settings.admin, adminSocket, pages)
  const drain = new DrainService({
    log,
    times: () => reload.live.drain,
    watch: input.drain,
    threads,
    readiness,
    hasHandedOver: () => input.run.hasHandedOver,
    announce: async () => await input.fleet.announceDrain(),
    // A later run has the port from the moment at which it serves.
    admin: () => (input.run.isNewest ? admin : undefined),
  })
  const verbs = folder === undefined ? undefined : new VerbsService({ folder, log, calls, native })
  calls.register(statusVerb({ ...input, readiness }))
  calls.register(fleetVerb({ ...input, readiness }))
  calls.register(overviewVerb(overview))
  calls.register(clientsVerb(input.clients))
  calls.register(tenantsVerb(input.tenantMonths))
  calls.register(checkupVerb({ ...input, readiness, stateFolder: folder }))
  calls.register(outsideVerb(input.looks))
  calls.register(reloadVerb(reload))
  calls.register(drainVerb(drain, input.drain))
  if (input.lane !== undefined) calls.register(laneVerb(input.lane, input.shown))
  const kicks = new KickService({ ...input, denials: input.verbDenials })
  for (const verb of [kickVerb(kicks), denyVerb(kicks), allowVerb(kicks), deniedVerb(input.admission)])
    calls.register(verb)
  return { readiness, drain, reload, overview, publicStatus, admin, verbs, notify, kicks }
}

function makePublicStatus(overview: OverviewService, threads: Pick<RelayThreads, 'broadcast'>): PublicStatus {
  return new PublicStatus({
    states: () => overview.states(),
    publish: (page) => threads.broadcast({ kind: 'publicStatus', page }),
  })
}

/** A configuration with which the relay could not start is refused by a reload, too. */
function withStartCheck(reading: SettingsReading): SettingsReading & SettingsSource {
  return { ...reading, startProblems: (settings, inUse) => startProblems(settings, new Set(), inUse) }
}

function fileOwnersOf({ mesh, certificates, admission, lane }: OperatorPartsInput): readonly FileOwner[] {
  const owners = [mesh, admission, lane, certificates && { reload: async () => await reloadOf(certificates) }]
  return owners.filter((owner) => owner !== undefined)
}

async function reloadOf(certificates: Certificates): Promise<readonly FileReload[]> {
  const { path, result } = await certificates.reload()
  const { lastFailure } = certificates.status
  return [{ path, result, problems: lastFailure === undefined ? [] : [lastFailure] }]
}
