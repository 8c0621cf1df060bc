// Where each number on the metrics page comes from: the parts of a running relay, read at the moment of a scrape. Runs on
// the control thread.

import type { Settings } from '#config/settings.ts'
import { certificateReload } from '#ops/certificate-families.ts'
import type { DirectoryWatch } from '#ops/directory-watch.ts'
import { drainFamilies } from '#ops/drain-families.ts'
import type { DrainWatch } from '#ops/drain-watch.ts'
import { fleetFamilies } from '#ops/fleet-families.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import type { Log } from '#ops/log.ts'
import { mapFamilies } from '#ops/map-families.ts'
import { monthFamilies } from '#ops/month-families.ts'
import type { ContinuedSources, MetricSources, RelayInfo } from '#ops/metrics.ts'
import type { NativeWays } from '#ops/native-families.ts'
import { ProcessMetrics } from '#ops/process-metrics.ts'
import type { Reloads } from '#ops/reloads.ts'
import type { VerbDenials } from '#ops/verb-denials.ts'
import { packageVersion } from '#ops/version.ts'
import type { RelayLimits } from '#relay/ports.ts'
import type { RelayAdmission } from './admission.ts'
import type { Certificates } from './certificates.ts'
import type { FleetService } from './fleet-service.ts'
import type { LaneService } from './lane-service.ts'
import type { MeshService } from './mesh-service.ts'
import type { MonthService } from './month-service.ts'
import type { TenantMonths } from './tenant-months.ts'
import type { QualityService } from './quality-service.ts'
import type { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Run } from './run.ts'
import type { StunService } from './stun-service.ts'

export interface MetricParts {
  readonly settings: Settings
  readonly log: Log
  readonly threads: RelayThreads
  readonly run: Run
  readonly readiness: Readiness
  readonly links: LinkWatch
  readonly quality: QualityService
  readonly month: Pick<MonthService, 'bytes'>
  readonly tenantMonths: Pick<TenantMonths, 'list' | 'month'>
  readonly directory: DirectoryWatch
  readonly drain: DrainWatch
  readonly fleet: FleetService
  readonly reloads: Reloads
  readonly verbDenials: VerbDenials
  readonly ways: NativeWays
  /** Undefined if it has none, or cannot use it. */
  readonly stateFolder: string | undefined
  readonly admission: RelayAdmission
  /** The limits in use. */
  readonly limits: () => RelayLimits
  /** Each undefined if this relay has none. */
  readonly mesh: MeshService | undefined
  readonly stun: StunService | undefined
  readonly lane: LaneService | undefined
  readonly certificates: Certificates | undefined
}

/** To be called once for a relay: the watchers that the process metrics start are never stopped. */
export function metricSources(parts: MetricParts): MetricSources {
  const { lane, readiness, run, stun, threads } = parts
  return {
    ...continuedSources(parts),
    threads: threads.counters,
    otherCounters: run.counters.beside,
    run: run.number,
    threadLoops: () => threads.readLoopTimes(),
    threadDeaths: () => threads.deaths,
    stun: () => stun && run.counters.withEarlierStun(stun.read()),
    stunDeaths: () => stun?.deaths,
    lane: () => lane?.read(),
    laneDeaths: () => lane?.deaths,
    state: () => readiness.health.report(),
    nativeWays: parts.ways,
    isStateFolderUsable:
      parts.settings.stateFolder === undefined ? undefined : parts.stateFolder !== undefined,
    build: { version: packageVersion(), nodeVersion: process.version },
    relay: () => relayInfo(parts),
    get limits() {
      return parts.limits()
    },
    process: new ProcessMetrics(),
  }
}

export type ContinuedParts = Pick<
  MetricParts,
  | 'admission'
  | 'certificates'
  | 'directory'
  | 'drain'
  | 'fleet'
  | 'links'
  | 'log'
  | 'mesh'
  | 'month'
  | 'tenantMonths'
  | 'quality'
  | 'reloads'
  | 'run'
  | 'verbDenials'
>

/** What the next run of this relay goes on counting. */
export function continuedSources(parts: ContinuedParts): ContinuedSources {
  const { admission, certificates, directory, drain, fleet, links, log, mesh, month, quality } = parts
  const { reloads, run, tenantMonths, verbDenials } = parts
  return {
    admission: () => admission.numbers,
    siblings: () => links.siblings(),
    quality: () => quality.families(),
    mesh: () => [
      ...directory.families(),
      ...mapFamilies(mesh?.map?.figures),
      ...reloads.families(certificateReload(certificates?.status)),
      ...drainFamilies(drain),
      ...fleetFamilies(fleet.fleet),
      ...verbDenials.families(),
      ...monthFamilies(month.bytes, tenantMonths.list()),
    ],
    certificates: () => certificates?.status,
    logLinesLost: () => log.linesLost,
    carried: run.counters.series,
  }
}

/** The place in the fleet comes from the regions file in use, and without a mesh from the options. */
function relayInfo({ mesh, settings }: MetricParts): RelayInfo {
  const { region, node } = settings.mesh
  const { regions, nodes } = mesh?.position ?? {
    regions: region === undefined ? [] : [region],
    nodes: node === undefined ? [] : [node],
  }
  return { hostname: settings.hostname, regions, nodes }
}
